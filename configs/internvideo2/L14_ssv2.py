_base_ = [
    '../_base_/models/internvideo2_L14.py',
    '../_base_/datasets/ssv2.py',
    '../_base_/schedules/finetune.py',
    '../_base_/strategies/auto_zero1.py',
    '../_base_/default_runtime.py',
]
recipe = 'internvideo2_single_modality/finetuning/full_tuning/ssv2/L14_ft_ssv2_f8'
num_gpus = 16

checkpoint = '{{$INTERNVIDEO2_MODEL_PATH:checkpoints}}/L14_dist_1B_stage2.pth'
model = dict(init_cfg=dict(checkpoint=checkpoint), head=dict(num_classes=174))
test_dataloader = dict(dataset=dict(sampling=dict(num_views=4)))
optim_wrapper = dict(optimizer=dict(lr=0.0005))
param_scheduler = dict(warmup_epochs=5)
train_cfg = dict(max_epochs=30)
