_base_ = [
    '../../_base_/models/uniformerv2_b16.py',
    '../../_base_/datasets/uniformerv2_k600.py',
    '../../_base_/schedules/uniformerv2.py',
    '../../_base_/strategies/auto.py',
]
recipe = 'internvideo1_pretrain/uniformerv2_k600_b16_f8x224'
num_gpus = 8

model = dict(head=dict(num_classes=600))
train_dataloader = dict(batch_size=32)
