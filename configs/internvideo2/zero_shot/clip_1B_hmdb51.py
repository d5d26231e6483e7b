_base_ = '../../_base_/recipes/clip_1B_evaluation.py'
recipe = 'internvideo2_multi_modality/evaluation/clip/zero_shot/1B/config_hmdb51'

test_dataloader = dict(dataset=dict(sets=['hmdb51_act_val']))
