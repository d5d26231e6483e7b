_base_ = [
    '../_base_/models/internvideo2_6B.py',
    '../_base_/datasets/ssv1.py',
    '../_base_/schedules/finetune.py',
    '../_base_/strategies/auto_zero1.py',
    '../_base_/default_runtime.py',
]
recipe = 'internvideo2_single_modality/finetuning/full_tuning/ssv1/6B_ft_ssv1_f8'
num_gpus = 64

checkpoint = '{{$INTERNVIDEO2_MODEL_PATH:checkpoints}}/6B_pt.pth'
model = dict(
    init_cfg=dict(checkpoint=checkpoint),
    head=dict(num_classes=174),
    backbone=dict(drop_path_rate=0.4),
)
train_dataloader = dict(batch_size=4)
val_dataloader = dict(batch_size=6)
test_dataloader = dict(dataset=dict(sampling=dict(num_views=4)))
optim_wrapper = dict(optimizer=dict(lr=7.5e-05), paramwise_cfg=dict(layer_decay_rate=0.915))
param_scheduler = dict(warmup_epochs=2, min_lr=0.0)
train_cfg = dict(max_epochs=7)
