_base_ = [
    '../../_base_/models/uniformerv2_l14.py',
    '../../_base_/datasets/uniformerv2_mit.py',
    '../../_base_/schedules/uniformerv2.py',
    '../../_base_/strategies/auto.py',
]
recipe = 'internvideo1_pretrain/uniformerv2_mit_l14_f8x224'
num_gpus = 32

checkpoint = '{{$INTERNVIDEO2_MODEL_PATH:checkpoints}}/k400_k710_uniformerv2_l14_8x224.pyth'
model = dict(
    head=dict(num_classes=339),
    init_cfg=dict(adapter='uniformerv2', checkpoint=checkpoint, delete_special_head=True),
)
train_dataloader = dict(batch_size=16)
val_dataloader = dict(batch_size=8)
train_cfg = dict(max_epochs=18)
