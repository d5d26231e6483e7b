_base_ = '../../_base_/recipes/viclip_L14_evaluation.py'
recipe = 'internvideo1_pretrain/viclip_zs_anet'

test_dataloader = dict(dataset=dict(sets=['anet_ret_val']))
