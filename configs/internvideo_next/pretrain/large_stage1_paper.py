# As the paper says, which differs from the published script: mask, epochs, warm-up, GPUs.
_base_ = './large_stage1.py'
recipe = None
num_gpus = 64

model = dict(masker=dict(ratio=0.8))
train_dataloader = dict(batch_size=32)
param_scheduler = dict(warmup_epochs=5)
train_cfg = dict(max_epochs=50)
