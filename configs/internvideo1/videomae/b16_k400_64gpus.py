# From Kinetics-400 alone, on 64 GPUs: the second of two scripts for this classifier.
_base_ = [
    '../../_base_/models/videomae_b16.py',
    '../../_base_/datasets/videomae_k400.py',
    '../../_base_/schedules/videomae_finetune.py',
    '../../_base_/strategies/auto.py',
    '../../_base_/default_runtime.py',
]
recipe = 'internvideo1_pretrain/videomae_finetune_dist_train_vit_b_k400_ft'
num_gpus = 64

checkpoint = '{{$INTERNVIDEO2_MODEL_PATH:checkpoints}}/k400_videomae_pretrain_base_patch16_224_frame_16x4_tube_mask_ratio_0.9_e800/checkpoint-799.pth'
model = dict(init_cfg=dict(checkpoint=checkpoint))
