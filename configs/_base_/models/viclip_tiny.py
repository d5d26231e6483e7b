# ViCLIP in miniature, for the generated world: both towers start from random weights and learn.
# Clips of 8 frames of 64 px are 2 x 8 x 8 patches, of which half are read in training.
model = dict(
    type='ViCLIP',
    data_preprocessor=dict(
        type='MediaTextPreprocessor',
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        tokenizer=dict(type='CLIPTokenizer', max_length=32),
    ),
    vision_encoder=dict(
        type='ViCLIPVision',
        arch=dict(embed_dim=96, depth=3, num_heads=4, mlp_ratio=4.0),
        img_size=64,
        patch_size=8,
        num_frames=8,
        tubelet_size=4,
        output_dim=96,
    ),
    text_encoder=dict(
        type='CLIPText', embed_dim=96, context_length=32, width=64, heads=4, layers=2
    ),
    temp=0.07,
    masking_prob=0.5,
    freeze_text=False,
)
