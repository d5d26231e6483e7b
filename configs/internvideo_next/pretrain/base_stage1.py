_base_ = [
    '../../_base_/models/internvideo_next_stage1.py',
    '../../_base_/datasets/kmash_1.1M.py',
    '../../_base_/schedules/pretrain.py',
    '../../_base_/strategies/auto_zero1.py',
    '../../_base_/default_runtime.py',
]
recipe = 'internvideo_next/base_stage1'
num_gpus = 128

train_dataloader = dict(batch_size=16, num_workers=14)
optim_wrapper = dict(optimizer=dict(lr=1e-3), clip_grad=dict(max_norm=5.0))
param_scheduler = dict(warmup_epochs=7)
train_cfg = dict(max_epochs=62)
default_hooks = dict(checkpoint=dict(save_best=None))
