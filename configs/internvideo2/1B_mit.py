_base_ = [
    '../_base_/models/internvideo2_1B.py',
    '../_base_/datasets/mit.py',
    '../_base_/schedules/finetune.py',
    '../_base_/strategies/auto_zero1.py',
    '../_base_/default_runtime.py',
]
recipe = 'internvideo2_single_modality/finetuning/full_tuning/mit/1B_ft_k710_ft_k400_ft_mit_f8'
num_gpus = 32

checkpoint = '{{$INTERNVIDEO2_MODEL_PATH:checkpoints}}/1B_ft_k710_ft_k400_f8.pth'
model = dict(init_cfg=dict(checkpoint=checkpoint, head='reset'), head=dict(num_classes=339))
train_dataloader = dict(batch_size=8, dataset=dict(num_repeats=1))
val_dataloader = dict(batch_size=12)
optim_wrapper = dict(optimizer=dict(lr=5e-05), paramwise_cfg=dict(layer_decay_rate=0.9))
param_scheduler = dict(warmup_epochs=5)
train_cfg = dict(max_epochs=15)
