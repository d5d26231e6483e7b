_base_ = '../../_base_/recipes/clip_S14_evaluation.py'
recipe = 'internvideo2_multi_modality/evaluation/clip/zero_shot/S14/config_ssv2_mc'

test_dataloader = dict(batch_size=4, dataset=dict(sets=['ssv2_mc_val']))
