_base_ = '../../_base_/recipes/viclip_L14_evaluation.py'
recipe = 'internvideo1_pretrain/viclip_zs_k600'

test_dataloader = dict(dataset=dict(sets=['k600_act_val']))
