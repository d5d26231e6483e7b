_base_ = ['../../_base_/models/viclip_unmasked_l14.py', '../../_base_/recipes/viclip_unmasked.py']
recipe = None  # a variant of the recipe of L14_webvid_10m.py

checkpoint = '{{$INTERNVIDEO2_MODEL_PATH:checkpoints}}/L14_webvid_10m.pth'
model = dict(text_encoder=dict(checkpoint_num=12), init_cfg=dict(checkpoint=checkpoint))
train_dataloader = dict(dataset=dict(mix=['webvid_10m']))
del checkpoint
