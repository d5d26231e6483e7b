_base_ = [
    '../_base_/models/internvideo2_B14.py',
    '../_base_/datasets/k600.py',
    '../_base_/schedules/finetune.py',
    '../_base_/strategies/auto_zero1.py',
    '../_base_/default_runtime.py',
]
recipe = 'internvideo2_single_modality/finetuning/full_tuning/k600/B14_ft_k710_ft_k600_f8'
num_gpus = 32

checkpoint = '{{$INTERNVIDEO2_MODEL_PATH:checkpoints}}/B14_ft_k710_f8.pth'
model = dict(init_cfg=dict(checkpoint=checkpoint), head=dict(num_classes=600))
