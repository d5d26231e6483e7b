# Tuning after masked pretraining: one epoch of half the pairs, 2,048 a step.  Published is half an
# epoch with a warm-up of 0.1 epochs, a fifth of it.
_base_ = './viclip.py'

train_dataloader = dict(batch_sampler=dict(batch_size=32, share=0.5))
val_dataloader = test_dataloader = dict(batch_size=4)
optim_wrapper = dict(optimizer=dict(lr=4e-6))
param_scheduler = dict(warmup_epochs=0.2)
train_cfg = dict(max_epochs=1)
