_base_ = '../../_base_/recipes/internvideo1_mm_b16_evaluation.py'

test_dataloader = dict(dataset=dict(sets=['msrvtt_mc_test']))
