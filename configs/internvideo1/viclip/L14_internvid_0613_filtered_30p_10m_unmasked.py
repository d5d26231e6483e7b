_base_ = ['../../_base_/models/viclip_unmasked_l14.py', '../../_base_/recipes/viclip_unmasked.py']
recipe = None  # a variant of the recipe of L14_internvid_0613_filtered_30p_10m.py

checkpoint = '{{$INTERNVIDEO2_MODEL_PATH:checkpoints}}/L14_internvid_0613_filtered_30p_10m.pth'
model = dict(init_cfg=dict(checkpoint=checkpoint))
train_dataloader = dict(dataset=dict(mix=['viclip_20m']))
del checkpoint
