_base_ = ['../../_base_/models/viclip_unmasked_l14.py', '../../_base_/recipes/viclip_unmasked.py']
recipe = None  # a variant of the recipe of L14_internvid_0522.py

checkpoint = '{{$INTERNVIDEO2_MODEL_PATH:checkpoints}}/L14_internvid_0522.pth'
model = dict(freeze_text=False, init_cfg=dict(checkpoint=checkpoint))
train_dataloader = dict(dataset=dict(mix=['summarized_230522_resized']))
del checkpoint
