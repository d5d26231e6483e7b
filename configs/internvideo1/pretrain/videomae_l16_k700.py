# On from the mixture.
_base_ = [
    '../../_base_/models/videomae_pretrain_l16.py',
    '../../_base_/datasets/videomae_pretrain_k700.py',
    '../../_base_/schedules/videomae_pretrain.py',
    '../../_base_/strategies/auto.py',
    '../../_base_/default_runtime.py',
]
recipe = 'internvideo1_pretrain/videomae_pretrain_vit_l_k700_pt'
num_gpus = 32

checkpoint = '{{$INTERNVIDEO2_MODEL_PATH:checkpoints}}/vit_l_hybrid_1m_pretrain/checkpoint-800.pth'
model = dict(init_cfg=dict(type='Published', adapter='videomae_pretrain', checkpoint=checkpoint))
train_dataloader = dict(batch_size=6, num_workers=14, dataset=dict(num_repeats=4))
param_scheduler = dict(warmup_epochs=10)
train_cfg = dict(max_epochs=201)
default_hooks = dict(checkpoint=dict(save_best=None))
