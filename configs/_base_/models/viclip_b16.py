# ViCLIP-B/16: CLIP's towers over clips of 8 frames and texts of 32 tokens.  The statistics are
# ImageNet's, as published, although the weights begin as CLIP's.
model = dict(
    type='ViCLIP',
    data_preprocessor=dict(
        type='MediaTextPreprocessor',
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        tokenizer=dict(type='CLIPTokenizer', max_length=32),
    ),
    vision_encoder=dict(
        type='ViCLIPVision', arch='base', img_size=224, patch_size=16, num_frames=8, output_dim=512
    ),
    text_encoder=dict(
        type='CLIPText', embed_dim=512, context_length=32, width=512, heads=8, layers=12
    ),
    temp=0.01,
    temp_min=0.01,
    freeze_text=True,
)
