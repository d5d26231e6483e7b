_base_ = './b16_ssv1_f16.py'

recipe = 'internvideo1_pretrain/uniformerv2_ssv1_b16_f32x224'
num_gpus = 16

frames = dict(num_frames=32)
model = dict(backbone=frames)
train_dataloader = dict(batch_size=8, dataset=dict(sampling=frames))
val_dataloader = dict(dataset=dict(sampling=frames))
test_dataloader = dict(dataset=dict(sampling=frames))
