_base_ = '../../_base_/recipes/stage2_1B_evaluation.py'
recipe = 'internvideo2_multi_modality/evaluation/stage2/zero_shot/1B/config_lsmdc'

model = dict(vision_encoder=dict(num_frames=8))
test_dataloader = dict(dataset=dict(sets=['lsmdc_ret_test_1000'], sampling=dict(num_frames=8)))
