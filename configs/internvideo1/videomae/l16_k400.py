_base_ = [
    '../../_base_/models/videomae_l16.py',
    '../../_base_/datasets/videomae_k400.py',
    '../../_base_/schedules/videomae_finetune.py',
    '../../_base_/strategies/auto.py',
    '../../_base_/default_runtime.py',
]
recipe = 'internvideo1_pretrain/videomae_finetune_vit_l_k400_ft'
num_gpus = 32

checkpoint = '{{$INTERNVIDEO2_MODEL_PATH:checkpoints}}/vit_l_hybrid_1m_pretrain/checkpoint-800.pth'
model = dict(init_cfg=dict(checkpoint=checkpoint))
train_dataloader = dict(batch_size=6)
optim_wrapper = dict(optimizer=dict(lr=2e-3))
train_cfg = dict(max_epochs=40)
