# VideoMAE pretraining.  Rates are those of 256 videos a step, whatever the number of augmentations
# of each.  Gradients are not clipped.
_base_ = './pretrain.py'

optim_wrapper = dict(optimizer=dict(betas=(0.9, 0.95), eps=1e-8), clip_grad=None)
lr_scaling = dict(with_accumulation=True, with_repeats=False)
train_cfg = dict(max_epochs=801)
