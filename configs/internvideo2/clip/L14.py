_base_ = ['../../_base_/models/internvideo2_clip_L14.py', '../../_base_/recipes/clip.py']
recipe = 'internvideo2_multi_modality/pretraining/clip/L14/config'

checkpoint = '{{$INTERNVIDEO2_MODEL_PATH:checkpoints}}/L14_ft_k710_f8.pth'
model = dict(init_cfg=dict(checkpoint=checkpoint))
