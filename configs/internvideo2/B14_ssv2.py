_base_ = [
    '../_base_/models/internvideo2_B14.py',
    '../_base_/datasets/ssv2.py',
    '../_base_/schedules/finetune.py',
    '../_base_/strategies/auto_zero1.py',
    '../_base_/default_runtime.py',
]
recipe = 'internvideo2_single_modality/finetuning/full_tuning/ssv2/B14_ft_ssv2_f8'
num_gpus = 16

checkpoint = '{{$INTERNVIDEO2_MODEL_PATH:checkpoints}}/B14_dist_1B_stage2.pth'
model = dict(
    init_cfg=dict(checkpoint=checkpoint),
    head=dict(num_classes=174),
    backbone=dict(drop_path_rate=0.2),
)
train_dataloader = dict(batch_size=16)
val_dataloader = dict(batch_size=24)
optim_wrapper = dict(optimizer=dict(lr=0.0002), paramwise_cfg=dict(layer_decay_rate=0.85))
param_scheduler = dict(warmup_epochs=2)
train_cfg = dict(max_epochs=10)
