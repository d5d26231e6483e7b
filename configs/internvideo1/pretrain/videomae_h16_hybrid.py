_base_ = [
    '../../_base_/models/videomae_pretrain_h16.py',
    '../../_base_/datasets/videomae_pretrain_hybrid_v2.py',
    '../../_base_/schedules/videomae_pretrain.py',
    '../../_base_/strategies/auto.py',
    '../../_base_/default_runtime.py',
]
recipe = 'internvideo1_pretrain/videomae_pretrain_vit_h_hybrid_pt'
num_gpus = 64

train_dataloader = dict(batch_size=6)
optim_wrapper = dict(optimizer=dict(lr=1e-3))
param_scheduler = dict(warmup_epochs=15, min_lr=5e-5)
train_cfg = dict(max_epochs=301)
default_hooks = dict(checkpoint=dict(save_best=None))
