_base_ = '../../_base_/recipes/clip_1B_evaluation.py'
recipe = 'internvideo2_multi_modality/evaluation/clip/zero_shot/1B/config_didemo'

test_dataloader = dict(dataset=dict(sets=['didemo_ret_test']))
