# The script is for one GPU, hence the small rate; those beside it are for 32.
_base_ = [
    '../../_base_/models/videomae_h16.py',
    '../../_base_/datasets/videomae_k710.py',
    '../../_base_/schedules/videomae_finetune.py',
    '../../_base_/strategies/auto.py',
    '../../_base_/default_runtime.py',
]
recipe = 'internvideo1_pretrain/videomae_finetune_vit_h_mixk_ft'
num_gpus = 1

checkpoint = '{{$INTERNVIDEO2_MODEL_PATH:checkpoints}}/vit_h_hybridv2_pt_1200e.pth'
model = dict(init_cfg=dict(checkpoint=checkpoint), head=dict(num_classes=710))
train_dataloader = dict(batch_size=4)
optim_wrapper = dict(optimizer=dict(lr=1e-3), paramwise_cfg=dict(layer_decay_rate=0.8))
train_cfg = dict(max_epochs=40)
