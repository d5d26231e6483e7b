# The InternVideo2 classifier; a variant file beside this one sets `arch` and regularisation.
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
    backbone=dict(type='InternVideo2', arch='small', num_frames=8, act='gelu_tanh'),
    head=dict(type='ClassificationHead', num_classes=400),
    init_cfg=dict(type='Published', adapter='internvideo2_single', head='remap'),
)
