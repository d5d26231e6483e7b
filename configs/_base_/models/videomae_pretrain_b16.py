# VideoMAE pretraining: nine tenths of all places are hidden in every frame alike, and what is
# predicted is each hidden tube of 2 x 16 x 16 pixels, channel by channel with mean 0 and variance 1.
model = dict(
    type='MaskedAutoencoder',
    data_preprocessor=dict(
        type='ClipDataPreprocessor', mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375]
    ),
    backbone=dict(
        type='VideoMAE',
        arch='base',
        img_size=224,
        patch_size=16,
        num_frames=16,
        tubelet_size=2,
        pos_embed='own',
    ),
    decoder=dict(type='VideoMAEDecoder', embed_dim=384, depth=4, num_heads=6),
    masker=dict(type='TubeMask', ratio=0.9),
    target='normalised',
)
