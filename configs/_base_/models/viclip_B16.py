# ViCLIP-B: CLIP's ViT-B/16 in the place of ViT-L/14.
_base_ = './viclip_L14.py'

root = '{{$INTERNVIDEO2_MODEL_PATH:checkpoints}}'
model = dict(
    vision_encoder=dict(arch='base', patch_size=16, output_dim=512, checkpoint_num=0),
    text_encoder=dict(embed_dim=512, width=512, heads=8),
    init_cfg=dict(checkpoint=f'{root}/ViT-B-16.safetensors'),
)
del root
