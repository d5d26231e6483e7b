_base_ = './internvideo1_mm_b16.py'

model = dict(
    vision_encoder=dict(arch='large', patch_size=14, global_layers=[20, 21, 22, 23]),
    text_encoder=dict(embed_dim=768, width=768, heads=12),
    caption_decoder=dict(width=768, vision_width=1024, heads=12),
)
