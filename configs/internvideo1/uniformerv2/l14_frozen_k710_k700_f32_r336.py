_base_ = './l14_frozen_k710_k700_r336.py'

recipe = 'internvideo1_pretrain/uniformerv2_frozen_k700_k710_l14_f32x336'

frames = dict(num_frames=32)
model = dict(backbone=frames)
train_dataloader = dict(batch_size=16, dataset=dict(sampling=frames))
val_dataloader = dict(batch_size=4, dataset=dict(sampling=frames))
test_dataloader = dict(dataset=dict(sampling=frames))
