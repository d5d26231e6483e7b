_base_ = [
    '../../_base_/models/videomae_b16.py',
    '../../_base_/datasets/videomae_k710.py',
    '../../_base_/schedules/videomae_finetune.py',
    '../../_base_/strategies/auto.py',
    '../../_base_/default_runtime.py',
]
recipe = None  # no script of it is published
num_gpus = 32

checkpoint = '{{$INTERNVIDEO2_MODEL_PATH:checkpoints}}/hybrid_1m_pretrain/checkpoint-800.pth'
model = dict(init_cfg=dict(checkpoint=checkpoint), head=dict(num_classes=710))
test_dataloader = dict(dataset=dict(sampling=dict(num_views=5)))
