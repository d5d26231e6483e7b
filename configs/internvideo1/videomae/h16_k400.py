_base_ = [
    '../../_base_/models/videomae_h16.py',
    '../../_base_/datasets/videomae_k400.py',
    '../../_base_/schedules/videomae_finetune.py',
    '../../_base_/strategies/auto.py',
    '../../_base_/default_runtime.py',
]
recipe = 'internvideo1_pretrain/videomae_finetune_vit_h_k400_ft'
num_gpus = 32

checkpoint = '{{$INTERNVIDEO2_MODEL_PATH:checkpoints}}/vit_h_hybridv2_pt_1200e.pth'
model = dict(init_cfg=dict(checkpoint=checkpoint))
train_dataloader = dict(batch_size=4)
test_dataloader = dict(dataset=dict(sampling=dict(num_views=7)))
optim_wrapper = dict(optimizer=dict(lr=1e-3), paramwise_cfg=dict(layer_decay_rate=0.8))
train_cfg = dict(max_epochs=35)
