# The script leaves open what it starts from: the published figure is from the mixture.
_base_ = [
    '../../_base_/models/videomae_b16.py',
    '../../_base_/datasets/videomae_k400.py',
    '../../_base_/schedules/videomae_finetune.py',
    '../../_base_/strategies/auto.py',
    '../../_base_/default_runtime.py',
]
recipe = 'internvideo1_pretrain/videomae_finetune_vit_b_k400_ft'
num_gpus = 32

checkpoint = '{{$INTERNVIDEO2_MODEL_PATH:checkpoints}}/hybrid_1m_pretrain/checkpoint-800.pth'
model = dict(init_cfg=dict(checkpoint=checkpoint))
