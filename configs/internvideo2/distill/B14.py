_base_ = [
    '../../_base_/models/internvideo2_distill.py',
    '../../_base_/datasets/kmash_1.1M.py',
    '../../_base_/schedules/pretrain.py',
    '../../_base_/strategies/auto_zero1.py',
    '../../_base_/default_runtime.py',
]
recipe = 'internvideo2_single_modality/distillation/B14_dist_1B_stage2'
num_gpus = 32

model = dict(backbone=dict(arch='base'))
train_dataloader = dict(batch_size=128, dataset=dict(sampling=dict(num_frames=8)))
optim_wrapper = dict(optimizer=dict(lr=1e-3), clip_grad=dict(max_norm=5.0))
param_scheduler = dict(warmup_epochs=20)
train_cfg = dict(max_epochs=101)
default_hooks = dict(checkpoint=dict(save_best=None))
