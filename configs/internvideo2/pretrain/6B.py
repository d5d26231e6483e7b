_base_ = [
    '../../_base_/models/internvideo2_pretrain.py',
    '../../_base_/datasets/kmash_2M.py',
    '../../_base_/schedules/pretrain.py',
    '../../_base_/strategies/auto_zero1.py',
    '../../_base_/default_runtime.py',
]
recipe = 'internvideo2_single_modality/pretraining/6B_pt'
num_gpus = 256

model = dict(backbone=dict(arch='6B', drop_path_rate=0.3, checkpoint_num=48))
train_dataloader = dict(batch_size=8)
default_hooks = dict(checkpoint=dict(save_best=None))
