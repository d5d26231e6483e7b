# UniFormerV2-B/16 with global blocks alone, CLIP's text tower and a caption decoder.  Of the decoder
# the size beside L/14 is published; this one has heads of the same width.
model = dict(
    type='InternVideoMultimodal',
    data_preprocessor=dict(
        type='MediaTextPreprocessor',
        # CLIP's, on the scale 0..255.
        mean=[122.7709383, 116.7460125, 104.09373615],
        std=[68.5005327, 66.6321579, 70.32316305],
        tokenizer=dict(type='CLIPTokenizer', max_length=77),
    ),
    vision_encoder=dict(
        type='UniFormerV2',
        arch='base',
        patch_size=16,
        num_frames=8,
        no_lmhra=True,
        global_layers=[8, 9, 10, 11],
    ),
    text_encoder=dict(
        type='CLIPText', embed_dim=512, width=512, heads=8, layers=12, mask_embedding=True
    ),
    caption_decoder=dict(type='CaptionDecoder', width=512, vision_width=768, n_layers=4, heads=8),
)
