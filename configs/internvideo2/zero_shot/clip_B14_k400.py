_base_ = '../../_base_/recipes/clip_B14_evaluation.py'
recipe = 'internvideo2_multi_modality/evaluation/clip/zero_shot/B14/config_k400'

test_dataloader = dict(dataset=dict(sets=['k400_act_val']))
