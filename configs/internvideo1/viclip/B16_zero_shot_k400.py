_base_ = '../../_base_/recipes/viclip_B16_evaluation.py'

test_dataloader = dict(dataset=dict(sets=['k400_act_val']))
