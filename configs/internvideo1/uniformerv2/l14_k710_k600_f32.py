_base_ = './l14_k710_k600.py'

recipe = 'internvideo1_pretrain/uniformerv2_k600_k710_l14_f32x224'
num_gpus = 32

frames = dict(num_frames=32)
model = dict(backbone=frames)
train_dataloader = dict(batch_size=4, dataset=dict(sampling=frames))
val_dataloader = dict(batch_size=4, dataset=dict(sampling=frames))
test_dataloader = dict(dataset=dict(sampling=frames))
