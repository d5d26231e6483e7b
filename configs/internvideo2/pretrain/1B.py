_base_ = [
    '../../_base_/models/internvideo2_pretrain.py',
    '../../_base_/datasets/kmash_1.1M.py',
    '../../_base_/schedules/pretrain.py',
    '../../_base_/strategies/auto_zero1.py',
    '../../_base_/default_runtime.py',
]
recipe = 'internvideo2_single_modality/pretraining/1B_pt'
num_gpus = 128

model = dict(backbone=dict(arch='1B', drop_path_rate=0.25, checkpoint_num=40))
train_dataloader = dict(batch_size=32)
default_hooks = dict(checkpoint=dict(save_best=None))
