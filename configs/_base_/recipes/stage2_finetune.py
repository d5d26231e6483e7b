# Fine-tuning a stage-2 model for retrieval, as the published scripts do for MSR-VTT and DiDeMo.
_base_ = './training.py'
num_gpus = 4

train_dataloader = dict(batch_sampler=dict(batch_size=8))
val_dataloader = test_dataloader = dict(batch_size=8)
optim_wrapper = dict(optimizer=dict(lr=5e-6))
train_cfg = dict(max_epochs=5)
strategy = dict(zero=dict(stage=2))
