_base_ = [
    '../../_base_/models/uniformerv2_b16_local.py',
    '../../_base_/datasets/uniformerv2_ssv2.py',
    '../../_base_/schedules/uniformerv2.py',
    '../../_base_/strategies/auto.py',
]
recipe = 'internvideo1_pretrain/uniformerv2_ssv2_b16_f16x224'
num_gpus = 8

frames = dict(num_frames=16)
model = dict(backbone=frames)
train_dataloader = dict(batch_size=16, dataset=dict(sampling=frames))
val_dataloader = dict(dataset=dict(sampling=frames))
test_dataloader = dict(dataset=dict(sampling=frames))
optim_wrapper = dict(optimizer=dict(lr=4e-5))
train_cfg = dict(max_epochs=22)
