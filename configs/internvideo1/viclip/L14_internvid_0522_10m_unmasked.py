_base_ = ['../../_base_/models/viclip_unmasked_l14.py', '../../_base_/recipes/viclip_unmasked.py']
recipe = None  # a variant of the recipe of L14_internvid_0522_10m.py

checkpoint = '{{$INTERNVIDEO2_MODEL_PATH:checkpoints}}/L14_internvid_0522_10m.pth'
model = dict(init_cfg=dict(checkpoint=checkpoint))
train_dataloader = dict(dataset=dict(mix=['summarized_230522_resized_10m']))
del checkpoint
