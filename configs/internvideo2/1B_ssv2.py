_base_ = [
    '../_base_/models/internvideo2_1B.py',
    '../_base_/datasets/ssv2.py',
    '../_base_/schedules/finetune.py',
    '../_base_/strategies/auto_zero1.py',
    '../_base_/default_runtime.py',
]
recipe = 'internvideo2_single_modality/finetuning/full_tuning/ssv2/1B_ft_ssv2_f8'
num_gpus = 32

checkpoint = '{{$INTERNVIDEO2_MODEL_PATH:checkpoints}}/1B_pt.pth'
model = dict(init_cfg=dict(checkpoint=checkpoint), head=dict(num_classes=174))
train_dataloader = dict(batch_size=8)
val_dataloader = dict(batch_size=12)
optim_wrapper = dict(optimizer=dict(lr=0.0001), paramwise_cfg=dict(layer_decay_rate=0.915))
param_scheduler = dict(warmup_epochs=3)
train_cfg = dict(max_epochs=8)
