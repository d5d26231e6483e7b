_base_ = '../../_base_/recipes/clip_6B_evaluation.py'
recipe = 'internvideo2_multi_modality/evaluation/clip/zero_shot/6B/config_vatex_ch'

test_dataloader = dict(dataset=dict(sets=['vatex_ch_ret_val']))
