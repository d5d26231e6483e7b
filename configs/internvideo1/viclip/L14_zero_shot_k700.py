_base_ = '../../_base_/recipes/viclip_L14_evaluation.py'
recipe = 'internvideo1_pretrain/viclip_zs_k700'

test_dataloader = dict(dataset=dict(sets=['k700_act_val']))
