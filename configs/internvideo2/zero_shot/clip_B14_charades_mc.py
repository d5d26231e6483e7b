_base_ = '../../_base_/recipes/clip_B14_evaluation.py'
recipe = 'internvideo2_multi_modality/evaluation/clip/zero_shot/B14/config_charades_mc'

test_dataloader = dict(batch_size=4, dataset=dict(sets=['charades_mc_test']))
