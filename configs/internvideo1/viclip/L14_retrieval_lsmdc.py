_base_ = '../../_base_/recipes/viclip_L14_evaluation.py'
recipe = 'internvideo1_pretrain/viclip_zs_lsmdc'

test_dataloader = dict(dataset=dict(sets=['lsmdc_ret_test_1000']))
