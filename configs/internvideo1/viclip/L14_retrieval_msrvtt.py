_base_ = '../../_base_/recipes/viclip_L14_evaluation.py'
recipe = 'internvideo1_pretrain/viclip_zs_msrvtt_1k'

test_dataloader = dict(dataset=dict(sets=['msrvtt_1k_test']))
