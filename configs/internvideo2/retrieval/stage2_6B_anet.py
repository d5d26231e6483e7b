# No published script: the settings of the other sets.
_base_ = '../../_base_/recipes/stage2_6B_evaluation.py'

model = dict(vision_encoder=dict(num_frames=8))
test_dataloader = dict(dataset=dict(sets=['anet_ret_val'], sampling=dict(num_frames=8)))
