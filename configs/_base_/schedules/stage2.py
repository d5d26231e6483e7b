# Stage-2 pretraining: linear warm-up, cosine to a hundredth; rates are not scaled by the batch.
optim_wrapper = dict(
    type='AmpOptimWrapper',
    dtype='bfloat16',
    optimizer=dict(type='AdamW', lr=5e-5, betas=(0.9, 0.98), eps=1e-8, weight_decay=0.05),
    constructor='ModuleLrConstructor',
    clip_grad=dict(max_norm=3.0),
)
param_scheduler = dict(type='LinearWarmupCosine', warmup_epochs=1, min_lr_factor=0.01)
train_cfg = dict(type='TrainLoop', max_epochs=10, val_interval=1)
