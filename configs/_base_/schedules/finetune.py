# End-to-end fine-tuning.  Learning rates are those of 256 clips a step: `lr_scaling` multiplies them
# by batch size * processes * repeats / 256, as the published recipes do.
optim_wrapper = dict(
    type='AmpOptimWrapper',
    dtype='bfloat16',
    optimizer=dict(type='AdamW', lr=2e-5, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.05),
    constructor='LayerDecayConstructor',
    paramwise_cfg=dict(layer_decay_rate=0.75),
)
lr_scaling = dict(base_batch_size=256)
param_scheduler = dict(type='WarmupCosine', warmup_epochs=1, min_lr=1e-6, warmup_lr=1e-6)

train_cfg = dict(type='TrainLoop', max_epochs=5, val_interval=1)
val_cfg = dict()
test_cfg = dict()
