# ViCLIP-L in masked pretraining, from CLIP's ViT-L/14.
_base_ = './viclip_l14.py'

root = '{{$INTERNVIDEO2_MODEL_PATH:checkpoints}}'
model = dict(
    vision_encoder=dict(drop_path_rate=0.1, checkpoint_num=24),
    masking_prob=0.9,
    init_cfg=dict(type='Published', adapter='clip', checkpoint=f'{root}/ViT-L-14.safetensors'),
)
del root
