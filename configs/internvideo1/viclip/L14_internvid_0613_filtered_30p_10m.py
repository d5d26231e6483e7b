_base_ = ['../../_base_/models/viclip_pretrain_l14.py', '../../_base_/recipes/viclip.py']
recipe = 'internvideo1_pretrain/viclip_pretrain_our_0613_filtered_30p_10m'

train_dataloader = dict(dataset=dict(mix=['viclip_20m']))
