# As the paper says, which differs from the published script: epochs, GPUs.
_base_ = './large_stage2.py'
recipe = None
num_gpus = 64

train_dataloader = dict(batch_size=16)
train_cfg = dict(max_epochs=100)
