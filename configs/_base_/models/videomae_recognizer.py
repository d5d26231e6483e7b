# The VideoMAE classifier: the mean of all tokens, a norm, a linear map.  A variant file beside this
# one sets `arch` and the width.
model = dict(
    type='VideoRecognizer',
    data_preprocessor=dict(
        type='ClipDataPreprocessor',
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        batch_augments=[
            dict(type='RandomErasing', prob=0.25, mode='pixel'),
            dict(type='MixupCutmix', mixup_alpha=0.8, cutmix_alpha=1.0, smoothing=0.1),
        ],
    ),
    backbone=dict(
        type='VideoMAE',
        arch='base',
        img_size=224,
        patch_size=16,
        num_frames=16,
        tubelet_size=2,
        drop_path_rate=0.1,
        final_norm=False,
        pooling='mean',
    ),
    head=dict(type='ClassificationHead', num_classes=400, in_dim=768, norm_eps=1e-6),
    init_cfg=dict(type='Published', adapter='videomae_finetune'),
)
