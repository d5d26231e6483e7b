_base_ = [
    '../../_base_/models/uniformerv2_l14_r336_frozen.py',
    '../../_base_/datasets/uniformerv2_k600.py',
    '../../_base_/schedules/uniformerv2_from_k710.py',
    '../../_base_/strategies/auto.py',
]
recipe = 'internvideo1_pretrain/uniformerv2_frozen_k600_k710_l14_f8x336'
num_gpus = 16

checkpoint = '{{$INTERNVIDEO2_MODEL_PATH:checkpoints}}/frozen_k710_uniformerv2_l14_8x336.pyth'
model = dict(
    head=dict(num_classes=600),
    init_cfg=dict(adapter='uniformerv2', checkpoint=checkpoint, head='remap'),
)
train_dataloader = dict(batch_size=32, dataset=dict(pipeline=_base_.r336.train))
val_dataloader = dict(batch_size=8, dataset=dict(pipeline=_base_.r336.single))
test_dataloader = dict(dataset=dict(sampling=dict(num_views=3), pipeline=_base_.r336.single))
optim_wrapper = dict(optimizer=dict(lr=5e-5))
