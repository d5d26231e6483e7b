_base_ = [
    '../../_base_/models/uniformerv2_l14.py',
    '../../_base_/datasets/uniformerv2_k400.py',
    '../../_base_/schedules/uniformerv2_from_k710.py',
    '../../_base_/strategies/auto.py',
]
recipe = 'internvideo1_pretrain/uniformerv2_k400_k710_l14_f8x224'
num_gpus = 16

checkpoint = '{{$INTERNVIDEO2_MODEL_PATH:checkpoints}}/k710_uniformerv2_l14_8x224.pyth'
model = dict(init_cfg=dict(adapter='uniformerv2', checkpoint=checkpoint, delete_special_head=True))
train_dataloader = dict(batch_size=16)
optim_wrapper = dict(optimizer=dict(lr=1.5e-6))
