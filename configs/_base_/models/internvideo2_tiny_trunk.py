# The encoder of the tiny models of media and texts, for the generated world; random weights to start
# from.  Clips of 8 frames of 64 px are 2 x 8 x 8 tokens.
model = dict(
    data_preprocessor=dict(
        type='MediaTextPreprocessor',
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
    ),
    vision_encoder=dict(
        type='InternVideo2',
        arch=None,
        embed_dim=96,
        depth=3,
        num_heads=4,
        mlp_ratio=4.0,
        img_size=64,
        patch_size=8,
        num_frames=8,
        tubelet_size=4,
        init_values=0,
        clip_embed_dim=96,
        attn_pool_num_heads=4,
    ),
)
