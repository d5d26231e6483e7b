_base_ = ['../../_base_/datasets/qa_anet.py', '../../_base_/recipes/qa_1B_open_ended.py']

# Videos of minutes: eight frames, for which the positions of four are interpolated.
sampling = dict(sampling=dict(num_frames=8))
model = dict(vision_encoder=dict(num_frames=8))
train_dataloader = val_dataloader = test_dataloader = dict(dataset=sampling)
del sampling
