_base_ = '../../_base_/recipes/viclip_L14_evaluation.py'
recipe = 'internvideo1_pretrain/viclip_zs_didemo'

randomness = dict(seed=43)
test_dataloader = dict(dataset=dict(sets=['didemo_ret_test']))
