_base_ = '../../_base_/recipes/stage2_1B_evaluation.py'
recipe = 'internvideo2_multi_modality/evaluation/stage2/zero_shot/1B/config_msvd'

test_dataloader = dict(dataset=dict(sets=['msvd_ret_test']))
