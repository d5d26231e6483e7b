_base_ = ['../../_base_/models/viclip_pretrain_l14.py', '../../_base_/recipes/viclip.py']
recipe = 'internvideo1_pretrain/viclip_pretrain_simple_25m'

train_dataloader = dict(dataset=dict(mix=['webvid_10m', 'cc3m', 'coco', 'vg', 'sbu', 'cc12m']))
