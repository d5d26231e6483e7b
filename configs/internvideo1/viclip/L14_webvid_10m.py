_base_ = ['../../_base_/models/viclip_pretrain_l14.py', '../../_base_/recipes/viclip.py']
recipe = 'internvideo1_pretrain/viclip_pretrain_webvid_10m'

train_dataloader = dict(dataset=dict(mix=['webvid_10m']))
model = dict(text_encoder=dict(checkpoint_num=12))  # counts where the text tower learns
