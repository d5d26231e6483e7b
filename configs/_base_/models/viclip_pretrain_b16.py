# ViCLIP-B in masked pretraining, from CLIP's ViT-B/16.
_base_ = './viclip_b16.py'

root = '{{$INTERNVIDEO2_MODEL_PATH:checkpoints}}'
model = dict(
    vision_encoder=dict(drop_path_rate=0.1),
    masking_prob=0.9,
    init_cfg=dict(type='Published', adapter='clip', checkpoint=f'{root}/ViT-B-16.safetensors'),
)
del root
