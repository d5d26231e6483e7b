_base_ = '../../_base_/recipes/clip_L14_evaluation.py'
recipe = 'internvideo2_multi_modality/evaluation/clip/zero_shot/L14/config_vatex_ch'

test_dataloader = dict(dataset=dict(sets=['vatex_ch_ret_val']))
