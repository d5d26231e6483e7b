_base_ = [
    '../../_base_/models/uniformerv2_l14.py',
    '../../_base_/datasets/uniformerv2_hacs.py',
    '../../_base_/schedules/uniformerv2.py',
    '../../_base_/strategies/auto.py',
]
recipe = 'internvideo1_pretrain/uniformerv2_hacs_l14_16x224'
num_gpus = 16

checkpoint = '{{$INTERNVIDEO2_MODEL_PATH:checkpoints}}/k400_k710_uniformerv2_l14_16x224.pyth'
frames = dict(num_frames=16)
model = dict(
    backbone=dict(checkpoint_num=1, backbone_drop_path_rate=0.2, drop_path_rate=0.4, **frames),
    head=dict(num_classes=200),
    init_cfg=dict(adapter='uniformerv2', checkpoint=checkpoint, delete_special_head=True),
)
train_dataloader = dict(batch_size=4, dataset=dict(sampling=frames))
val_dataloader = dict(batch_size=8, dataset=dict(sampling=frames))
test_dataloader = dict(dataset=dict(sampling=frames))
optim_wrapper = dict(optimizer=dict(lr=5e-6))
train_cfg = dict(max_epochs=20)
