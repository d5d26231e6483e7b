_base_ = [
    '../../_base_/models/uniformerv2_l14_r336.py',
    '../../_base_/datasets/uniformerv2_k400.py',
    '../../_base_/schedules/uniformerv2_from_k710.py',
    '../../_base_/strategies/auto.py',
]
recipe = 'internvideo1_pretrain/uniformerv2_k400_k710_l14_f32x336'
num_gpus = 32

checkpoint = '{{$INTERNVIDEO2_MODEL_PATH:checkpoints}}/k710_uniformerv2_l14_8x336.pyth'
frames = dict(num_frames=32)
model = dict(
    backbone=dict(checkpoint_num=24, **frames),
    init_cfg=dict(adapter='uniformerv2', checkpoint=checkpoint, delete_special_head=True),
)
train_dataloader = dict(batch_size=4, dataset=dict(sampling=frames, pipeline=_base_.r336.train))
val_dataloader = dict(batch_size=4, dataset=dict(sampling=frames, pipeline=_base_.r336.single))
test_dataloader = dict(dataset=dict(sampling=frames, pipeline=_base_.r336.crops))
optim_wrapper = dict(optimizer=dict(lr=1.5e-6))
