_base_ = [
    '../../_base_/models/videomae_b16.py',
    '../../_base_/datasets/videomae_ssv2.py',
    '../../_base_/schedules/videomae_finetune.py',
    '../../_base_/strategies/auto.py',
    '../../_base_/default_runtime.py',
]
recipe = 'internvideo1_pretrain/videomae_finetune_vit_b_ssv2_ft'
num_gpus = 16

checkpoint = '{{$INTERNVIDEO2_MODEL_PATH:checkpoints}}/vit_b_ssv2_pt_dm05/checkpoint-800.pth'
model = dict(init_cfg=dict(checkpoint=checkpoint), head=dict(num_classes=174))
optim_wrapper = dict(optimizer=dict(lr=2e-3), paramwise_cfg=dict(layer_decay_rate=0.65))
train_cfg = dict(max_epochs=25)
