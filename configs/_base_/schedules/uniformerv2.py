# End-to-end training from CLIP's weights.  Rates are final, whatever the number of GPUs, as published.
_base_ = '../default_runtime.py'

optim_wrapper = dict(
    type='AmpOptimWrapper',
    dtype='bfloat16',
    optimizer=dict(type='AdamW', lr=1e-5, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.05),
    constructor='LayerDecayConstructor',
    # Vectors and biases only: position tables and the query decay, as published.
    paramwise_cfg=dict(no_weight_decay=[]),
    clip_grad=dict(max_norm=20.0),
)
lr_scaling = False
param_scheduler = dict(
    type='EpochCosine', warmup_epochs=5, warmup_lr=1e-6, min_lr=1e-6, cosine_after_warmup=True
)
randomness = dict(seed=6666)

train_cfg = dict(type='TrainLoop', max_epochs=55, val_interval=1)
val_cfg = dict()
test_cfg = dict()
