_base_ = './l14_k710_k400_f32_r336.py'

recipe = 'internvideo1_pretrain/uniformerv2_k400_k710_l14_f64x336'
num_gpus = 64

frames = dict(num_frames=64)
model = dict(backbone=frames)
train_dataloader = dict(batch_size=2, dataset=dict(sampling=frames))
val_dataloader = dict(dataset=dict(sampling=frames))
test_dataloader = dict(dataset=dict(sampling=frames))
