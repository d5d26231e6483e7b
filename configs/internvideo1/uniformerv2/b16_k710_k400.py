_base_ = [
    '../../_base_/models/uniformerv2_b16.py',
    '../../_base_/datasets/uniformerv2_k400.py',
    '../../_base_/schedules/uniformerv2_from_k710.py',
    '../../_base_/strategies/auto.py',
]
recipe = 'internvideo1_pretrain/uniformerv2_k400_k710_b16_f8x224'
num_gpus = 8

checkpoint = '{{$INTERNVIDEO2_MODEL_PATH:checkpoints}}/k710_uniformerv2_b16_8x224.pyth'
model = dict(init_cfg=dict(adapter='uniformerv2', checkpoint=checkpoint, delete_special_head=True))
train_dataloader = dict(batch_size=32)
optim_wrapper = dict(optimizer=dict(lr=2e-6))
