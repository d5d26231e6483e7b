_base_ = '../../_base_/recipes/clip_S14_evaluation.py'
recipe = 'internvideo2_multi_modality/evaluation/clip/zero_shot/S14/config_mit'

test_dataloader = dict(dataset=dict(sets=['mit_act_val']))
