_base_ = [
    '../../_base_/models/internvideo1_mm_b16.py',
    '../../_base_/recipes/internvideo1_mm_pretrain.py',
]

checkpoint = '{{$INTERNVIDEO2_MODEL_PATH:checkpoints}}/ViT-B-16.safetensors'
model = dict(init_cfg=dict(type='Published', adapter='clip', checkpoint=checkpoint))
del checkpoint
