_base_ = '../../_base_/recipes/clip_6B_evaluation.py'
recipe = 'internvideo2_multi_modality/evaluation/clip/zero_shot/6B/config_anet'

test_dataloader = dict(dataset=dict(sets=['anet_ret_val']))
