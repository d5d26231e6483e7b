# Probing a frozen encoder: no layer decay, no weight decay, rate down to zero.
_base_ = './finetune.py'

optim_wrapper = dict(
    optimizer=dict(lr=2e-4, weight_decay=0.0),
    paramwise_cfg=dict(layer_decay_rate=1.0),
)
param_scheduler = dict(warmup_epochs=5, min_lr=0.0)
train_cfg = dict(max_epochs=25)
