_base_ = '../../_base_/recipes/clip_6B_evaluation.py'
recipe = 'internvideo2_multi_modality/evaluation/clip/zero_shot/6B/config_msrvtt'

test_dataloader = dict(dataset=dict(sets=['msrvtt_1k_test']))
