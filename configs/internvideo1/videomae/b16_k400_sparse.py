_base_ = [
    '../../_base_/models/videomae_b16.py',
    '../../_base_/datasets/videomae_k400_sparse.py',
    '../../_base_/schedules/videomae_finetune.py',
    '../../_base_/strategies/auto.py',
    '../../_base_/default_runtime.py',
]
recipe = 'internvideo1_pretrain/videomae_finetune_vit_b_k400_sparse_ft'
num_gpus = 32

checkpoint = '{{$INTERNVIDEO2_MODEL_PATH:checkpoints}}/vit_b_k400_pt_1600e.pth'
model = dict(init_cfg=dict(checkpoint=checkpoint))
