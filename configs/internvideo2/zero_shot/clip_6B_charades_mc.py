_base_ = '../../_base_/recipes/clip_6B_evaluation.py'
recipe = 'internvideo2_multi_modality/evaluation/clip/zero_shot/6B/config_charades_mc'

test_dataloader = dict(batch_size=4, dataset=dict(sets=['charades_mc_test']))
