# UniFormerV2 in miniature: 0.7 M parameters learn eight motions from generated mp4 files, from random
# weights.  All that sees motion is there: patches of three frames, local and global blocks.
_base_ = [
    '../../_base_/datasets/synthetic.py',
    '../../_base_/schedules/finetune.py',
    '../../_base_/strategies/auto.py',
    '../../_base_/default_runtime.py',
]
model = dict(
    type='VideoRecognizer',
    data_preprocessor=dict(
        type='ClipDataPreprocessor', mean=[114.75, 114.75, 114.75], std=[57.375, 57.375, 57.375]
    ),
    backbone=dict(
        type='UniFormerV2',
        arch=dict(embed_dim=96, depth=3, num_heads=4, mlp_ratio=4.0),
        img_size=32,
        patch_size=8,
        num_frames=8,
        temporal_downsample=True,
        no_lmhra=False,
        global_layers=[1, 2],
        mlp_dropout=0.1,
    ),
    head=dict(type='ClassificationHead', num_classes=8, in_dim=96, init_scale=1.0),
)
optim_wrapper = dict(
    _delete_=True,
    type='OptimWrapper',
    optimizer=dict(type='AdamW', lr=2e-3, betas=(0.9, 0.98), weight_decay=0.05),
    constructor='LayerDecayConstructor',
    clip_grad=dict(max_norm=1.0),
)
lr_scaling = dict(base_batch_size=32)
param_scheduler = dict(warmup_epochs=1)
train_cfg = dict(max_epochs=6, val_interval=3)
default_hooks = dict(logger=dict(interval=37), checkpoint=dict(interval=3))
