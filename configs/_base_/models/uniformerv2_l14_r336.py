_base_ = './uniformerv2_l14.py'

checkpoint = '{{$INTERNVIDEO2_MODEL_PATH:checkpoints}}/ViT-L-14-336px.safetensors'
model = dict(backbone=dict(img_size=336), init_cfg=dict(checkpoint=checkpoint))
