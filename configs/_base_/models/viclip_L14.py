# ViCLIP-L: CLIP's ViT-L/14 over eight frames, and its text tower cut to 32 tokens.
root = '{{$INTERNVIDEO2_MODEL_PATH:checkpoints}}'
model = dict(
    type='ViCLIP',
    # ImageNet's statistics, though the weights are CLIP's: as published, in training and tests.
    data_preprocessor=dict(
        type='MediaTextPreprocessor',
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        tokenizer=dict(type='CLIPTokenizer', max_length=32),
    ),
    vision_encoder=dict(
        type='ViCLIPVision',
        arch='large',
        patch_size=14,
        num_frames=8,
        output_dim=768,
        drop_path_rate=0.1,
        checkpoint_num=24,
    ),
    text_encoder=dict(
        type='CLIPText', embed_dim=768, context_length=32, width=768, heads=12, layers=12
    ),
    temp=0.01,
    temp_min=0.01,
    masking_prob=0.9,
    freeze_text=True,
    init_cfg=dict(type='Published', adapter='clip', checkpoint=f'{root}/ViT-L-14.safetensors'),
)
del root
