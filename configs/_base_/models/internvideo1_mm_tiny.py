# The multimodal model in miniature, for the generated world; random weights to start from.
model = dict(
    type='InternVideoMultimodal',
    data_preprocessor=dict(
        type='MediaTextPreprocessor',
        mean=[122.7709383, 116.7460125, 104.09373615],
        std=[68.5005327, 66.6321579, 70.32316305],
        tokenizer=dict(type='CLIPTokenizer', max_length=32),
    ),
    vision_encoder=dict(
        type='UniFormerV2',
        arch=dict(embed_dim=96, depth=3, num_heads=4, mlp_ratio=4.0),
        img_size=64,
        patch_size=16,
        num_frames=8,
        # Frames alone would tell no motion but by the global blocks.
        no_lmhra=False,
        global_layers=[1, 2],
        mlp_dropout=0.0,
    ),
    text_encoder=dict(
        type='CLIPText', embed_dim=128, context_length=32, width=64, heads=4, layers=2
    ),
    caption_decoder=dict(
        type='CaptionDecoder',
        # Narrow: on a CPU the vocabulary of 49,408 costs most of a step.
        width=64,
        vision_width=96,
        n_layers=2,
        heads=4,
        num_visual_queries=16,
    ),
)
