_base_ = [
    '../../_base_/models/uniformerv2_l14_r336.py',
    '../../_base_/datasets/uniformerv2_mit.py',
    '../../_base_/schedules/uniformerv2.py',
    '../../_base_/strategies/auto.py',
]
recipe = 'internvideo1_pretrain/uniformerv2_mit_l14_f8x336'
num_gpus = 32

# On no published list of files: that of 32 frames is.
checkpoint = '{{$INTERNVIDEO2_MODEL_PATH:checkpoints}}/k400_k710_uniformerv2_l14_8x336.pyth'
model = dict(
    backbone=dict(checkpoint_num=21),
    head=dict(num_classes=339),
    init_cfg=dict(adapter='uniformerv2', checkpoint=checkpoint, delete_special_head=True),
)
train_dataloader = dict(batch_size=16, dataset=dict(pipeline=_base_.r336.train))
val_dataloader = dict(batch_size=8, dataset=dict(pipeline=_base_.r336.single))
test_dataloader = dict(dataset=dict(pipeline=_base_.r336.crops))
train_cfg = dict(max_epochs=18)
