# Masked pretraining and distillation.  Learning rates are those of 256 clips a step, as published:
# batch size * processes / 256, accumulation not counted.
optim_wrapper = dict(
    type='AmpOptimWrapper',
    dtype='bfloat16',
    optimizer=dict(type='AdamW', lr=1.5e-4, betas=(0.9, 0.98), eps=1e-6, weight_decay=0.05),
    constructor='LayerDecayConstructor',
    paramwise_cfg=dict(layer_decay_rate=1.0),
    clip_grad=dict(max_norm=3.0),
)
lr_scaling = dict(base_batch_size=256, with_accumulation=False)
param_scheduler = dict(type='WarmupCosine', warmup_epochs=40, min_lr=1e-5, warmup_lr=0.0)

train_cfg = dict(type='TrainLoop', max_epochs=301)
