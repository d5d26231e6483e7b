_base_ = '../../_base_/recipes/clip_6B_evaluation.py'
recipe = 'internvideo2_multi_modality/evaluation/clip/zero_shot/6B/config_vatex_en'

test_dataloader = dict(dataset=dict(sets=['vatex_en_ret_val']))
