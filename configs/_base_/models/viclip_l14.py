_base_ = './viclip_b16.py'

model = dict(
    vision_encoder=dict(arch='large', patch_size=14, output_dim=768),
    text_encoder=dict(embed_dim=768, width=768, heads=12),
)
