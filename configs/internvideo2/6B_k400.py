_base_ = [
    '../_base_/models/internvideo2_6B.py',
    '../_base_/datasets/k400.py',
    '../_base_/schedules/finetune.py',
    '../_base_/strategies/auto_zero1.py',
    '../_base_/default_runtime.py',
]
recipe = 'internvideo2_single_modality/finetuning/full_tuning/k400/6B_ft_k710_ft_k400_f8'
num_gpus = 64

checkpoint = '{{$INTERNVIDEO2_MODEL_PATH:checkpoints}}/6B_ft_k710_f8.pth'
model = dict(init_cfg=dict(checkpoint=checkpoint))
train_dataloader = dict(batch_size=4)
val_dataloader = dict(batch_size=6)
optim_wrapper = dict(optimizer=dict(lr=1e-5), paramwise_cfg=dict(layer_decay_rate=0.915))
param_scheduler = dict(warmup_epochs=0)
train_cfg = dict(max_epochs=1)
