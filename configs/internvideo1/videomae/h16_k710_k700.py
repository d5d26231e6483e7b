# Kinetics-710 first: its classifier holds the rows of these classes.
_base_ = [
    '../../_base_/models/videomae_h16.py',
    '../../_base_/datasets/videomae_k700.py',
    '../../_base_/schedules/videomae_finetune.py',
    '../../_base_/strategies/auto.py',
    '../../_base_/default_runtime.py',
]
recipe = 'internvideo1_pretrain/videomae_finetune_vit_h_mixk_it_k700_ft'
num_gpus = 8

checkpoint = '{{$INTERNVIDEO2_MODEL_PATH:checkpoints}}/vit_h_hybridv2_1200e_mixk_ft_v1.pth'
model = dict(init_cfg=dict(checkpoint=checkpoint, head='remap'), head=dict(num_classes=700))
train_dataloader = dict(batch_size=4)
optim_wrapper = dict(optimizer=dict(lr=2e-6), paramwise_cfg=dict(layer_decay_rate=0.8))
param_scheduler = dict(warmup_epochs=1)
train_cfg = dict(max_epochs=3)
