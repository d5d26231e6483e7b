_base_ = ['../../_base_/models/viclip_pretrain_l14.py', '../../_base_/recipes/viclip.py']
recipe = 'internvideo1_pretrain/viclip_pretrain_our230522_10m_webvid_10m'

train_dataloader = dict(dataset=dict(mix=['summarized_230522_resized_10m', 'webvid_10m']))
