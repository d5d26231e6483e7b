_base_ = '../../_base_/recipes/viclip_L14_evaluation.py'
recipe = 'internvideo1_pretrain/viclip_zs_sthsthv1'

test_dataloader = dict(dataset=dict(sets=['ssv1_act_val']))
