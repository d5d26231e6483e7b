_base_ = '../../_base_/recipes/clip_B14_evaluation.py'
recipe = 'internvideo2_multi_modality/evaluation/clip/zero_shot/B14/config_lsmdc'

test_dataloader = dict(dataset=dict(sets=['lsmdc_ret_test_1000']))
