# One process without mixed precision; what starts from random weights learns faster than BERT.
_base_ = ['../strategies/auto.py', '../default_runtime.py']

optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='AdamW', lr=2e-4, betas=(0.9, 0.98), weight_decay=0.05),
    constructor='ModuleLrConstructor',
    paramwise_cfg=dict(patterns=['^vision_encoder', 'crossattention'], lr=1.5e-3),
    clip_grad=dict(max_norm=1.0),
)
param_scheduler = dict(type='LinearWarmupCosine', warmup_epochs=1, min_lr_factor=0.01)
train_cfg = dict(max_epochs=10, val_interval=5)
val_cfg, test_cfg = dict(), dict()
default_hooks = dict(logger=dict(interval=75), checkpoint=dict(interval=5))
