_base_ = [
    '../_base_/models/internvideo2_L14.py',
    '../_base_/datasets/k710.py',
    '../_base_/schedules/finetune.py',
    '../_base_/strategies/auto_zero1.py',
    '../_base_/default_runtime.py',
]
recipe = 'internvideo2_single_modality/finetuning/full_tuning/k710/L14_ft_k710_f8'
num_gpus = 16

checkpoint = '{{$INTERNVIDEO2_MODEL_PATH:checkpoints}}/L14_dist_1B_stage2.pth'
model = dict(init_cfg=dict(checkpoint=checkpoint), head=dict(num_classes=710))
train_dataloader = dict(batch_size=16)
val_dataloader = dict(batch_size=24)
optim_wrapper = dict(optimizer=dict(lr=0.0002))
param_scheduler = dict(warmup_epochs=2)
train_cfg = dict(max_epochs=14)
