_base_ = [
    '../../_base_/models/videomae_pretrain_b16.py',
    '../../_base_/datasets/videomae_pretrain_k400.py',
    '../../_base_/schedules/videomae_pretrain.py',
    '../../_base_/strategies/auto.py',
    '../../_base_/default_runtime.py',
]
recipe = 'internvideo1_pretrain/videomae_pretrain_dist_train_vit_b_k400_pt'
num_gpus = 64

train_dataloader = dict(num_workers=16)
default_hooks = dict(checkpoint=dict(save_best=None))
