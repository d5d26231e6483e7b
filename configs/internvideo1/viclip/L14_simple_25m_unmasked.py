_base_ = ['../../_base_/models/viclip_unmasked_l14.py', '../../_base_/recipes/viclip_unmasked.py']
recipe = None  # a variant of the recipe of L14_simple_25m.py

checkpoint = '{{$INTERNVIDEO2_MODEL_PATH:checkpoints}}/L14_simple_25m.pth'
model = dict(init_cfg=dict(checkpoint=checkpoint))
train_dataloader = dict(dataset=dict(mix=['webvid_10m', 'cc3m', 'coco', 'vg', 'sbu', 'cc12m']))
del checkpoint
