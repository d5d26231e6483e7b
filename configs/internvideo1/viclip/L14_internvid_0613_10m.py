_base_ = ['../../_base_/models/viclip_pretrain_l14.py', '../../_base_/recipes/viclip.py']
recipe = 'internvideo1_pretrain/viclip_pretrain_our_0613_10m'
num_gpus = 32

train_dataloader = dict(
    batch_sampler=dict(batch_size=1024), dataset=dict(mix=['summarized_230613_resized_10m'])
)
