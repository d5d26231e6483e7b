# Kinetics-600 first: its classifier is dropped.
_base_ = [
    '../../_base_/models/videomae_h16.py',
    '../../_base_/datasets/videomae_k400.py',
    '../../_base_/schedules/videomae_finetune.py',
    '../../_base_/strategies/auto.py',
    '../../_base_/default_runtime.py',
]
recipe = 'internvideo1_pretrain/videomae_finetune_vit_h_k600_it_k400_ft'
num_gpus = 32

checkpoint = '{{$INTERNVIDEO2_MODEL_PATH:checkpoints}}/vit_h_hybridv2_pt_1200e_k600_ft.pth'
model = dict(init_cfg=dict(checkpoint=checkpoint, head='reset'), backbone=dict(drop_path_rate=0.3))
train_dataloader = dict(batch_size=4)
test_dataloader = dict(dataset=dict(sampling=dict(num_views=7)))
optim_wrapper = dict(optimizer=dict(lr=5e-4), paramwise_cfg=dict(layer_decay_rate=0.8))
param_scheduler = dict(warmup_epochs=3)
train_cfg = dict(max_epochs=15)
