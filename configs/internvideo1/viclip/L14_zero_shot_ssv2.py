_base_ = '../../_base_/recipes/viclip_L14_evaluation.py'
recipe = 'internvideo1_pretrain/viclip_zs_sthsthv2'

test_dataloader = dict(dataset=dict(sets=['ssv2_act_val']))
