_base_ = [
    '../../_base_/models/videomae_pretrain_b16.py',
    '../../_base_/datasets/videomae_pretrain_ssv2.py',
    '../../_base_/schedules/videomae_pretrain.py',
    '../../_base_/strategies/auto.py',
    '../../_base_/default_runtime.py',
]
recipe = 'internvideo1_pretrain/videomae_pretrain_vit_b_ssv2_pt'
num_gpus = 32

default_hooks = dict(checkpoint=dict(save_best=None))
