_base_ = [
    '../../_base_/models/videomae_h16.py',
    '../../_base_/datasets/videomae_ssv2.py',
    '../../_base_/schedules/videomae_finetune.py',
    '../../_base_/strategies/auto.py',
    '../../_base_/default_runtime.py',
]
recipe = 'internvideo1_pretrain/videomae_finetune_vit_h_ssv2_ft'
num_gpus = 32

checkpoint = '{{$INTERNVIDEO2_MODEL_PATH:checkpoints}}/vit_h_hybridv2_pt_1200e.pth'
model = dict(init_cfg=dict(checkpoint=checkpoint), head=dict(num_classes=174, dropout=0.3))
train_dataloader = dict(batch_size=8, dataset=dict(num_repeats=1))
optim_wrapper = dict(optimizer=dict(lr=5e-4), paramwise_cfg=dict(layer_decay_rate=0.8))
train_cfg = dict(max_epochs=30)
