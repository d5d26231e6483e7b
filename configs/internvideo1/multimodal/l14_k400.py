_base_ = '../../_base_/recipes/internvideo1_mm_l14_evaluation.py'

test_dataloader = dict(dataset=dict(sets=['k400_act_test']))
