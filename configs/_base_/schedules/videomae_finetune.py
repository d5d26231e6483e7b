# VideoMAE fine-tuning.  Rates are those of 256 videos a step, whatever the number of augmentations
# of each, and warm up from 0.
_base_ = './finetune.py'

optim_wrapper = dict(optimizer=dict(lr=1e-3))
lr_scaling = dict(with_repeats=False)
param_scheduler = dict(warmup_epochs=5, warmup_lr=0.0)
train_cfg = dict(max_epochs=100)
