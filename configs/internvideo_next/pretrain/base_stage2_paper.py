# As the paper says, which differs from the published script: batch, epochs, GPUs.
_base_ = './base_stage2.py'
recipe = None
num_gpus = 64

train_dataloader = dict(batch_size=32)
train_cfg = dict(max_epochs=100)
