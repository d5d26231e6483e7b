_base_ = [
    '../../_base_/models/uniformerv2_l14_r336_frozen.py',
    '../../_base_/datasets/uniformerv2_k600.py',
    '../../_base_/schedules/uniformerv2.py',
    '../../_base_/strategies/auto.py',
]
recipe = 'internvideo1_pretrain/uniformerv2_frozen_k600_l14_f8x336'
num_gpus = 16

model = dict(head=dict(num_classes=600))
train_dataloader = dict(batch_size=32, dataset=dict(pipeline=_base_.r336.train))
val_dataloader = dict(dataset=dict(pipeline=_base_.r336.single))
test_dataloader = dict(dataset=dict(sampling=dict(num_views=3), pipeline=_base_.r336.single))
optim_wrapper = dict(optimizer=dict(lr=0.0008))
param_scheduler = dict(warmup_epochs=0)
train_cfg = dict(max_epochs=50)
