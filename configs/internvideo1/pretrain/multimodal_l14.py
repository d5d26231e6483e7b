_base_ = [
    '../../_base_/models/internvideo1_mm_l14.py',
    '../../_base_/recipes/internvideo1_mm_pretrain.py',
]

checkpoint = '{{$INTERNVIDEO2_MODEL_PATH:checkpoints}}/ViT-L-14.safetensors'
model = dict(init_cfg=dict(type='Published', adapter='clip', checkpoint=checkpoint))
del checkpoint
