# The UniFormerV2 classifier; a variant file beside this one sets sizes and the start.
model = dict(
    type='VideoRecognizer',
    data_preprocessor=dict(
        type='ClipDataPreprocessor',
        # 0.45 and 0.225 of every colour, as published, though the weights are CLIP's.
        mean=[114.75, 114.75, 114.75],
        std=[57.375, 57.375, 57.375],
    ),
    backbone=dict(type='UniFormerV2', arch='base', num_frames=8, no_lmhra=True),
    head=dict(type='ClassificationHead', num_classes=400, in_dim=768, dropout=0.5, init_scale=1.0),
    init_cfg=dict(type='Published', adapter='clip'),
)
