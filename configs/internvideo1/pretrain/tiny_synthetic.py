# VideoMAE in miniature: no labels, three quarters of the tubes hidden.  Pixels as they are: of a
# patch of nearly one colour, normalising leaves the noise of the video's compression.
#   tools/demo_videomae.sh runs this and fine-tunes from few labels.
_base_ = [
    '../../_base_/datasets/synthetic.py',
    '../../_base_/schedules/pretrain.py',
    '../../_base_/strategies/auto.py',
    '../../_base_/default_runtime.py',
]
model = dict(
    type='MaskedAutoencoder',
    data_preprocessor=dict(type='ClipDataPreprocessor'),
    backbone=dict(
        type='VideoMAE',
        arch=dict(embed_dim=96, depth=3, num_heads=4, mlp_ratio=4.0),
        img_size=32,
        patch_size=8,
        num_frames=8,
        tubelet_size=4,
        pos_embed='own',
    ),
    decoder=dict(type='VideoMAEDecoder', embed_dim=64, depth=2, num_heads=4),
    masker=dict(type='TubeMask', ratio=0.75),
    target='pixels',
)
train_dataloader = dict(
    batch_size=12, num_workers=0, persistent_workers=False, dataset=dict(num_repeats=4)
)
optim_wrapper = dict(
    _delete_=True,
    type='OptimWrapper',
    optimizer=dict(type='AdamW', lr=2e-3, betas=(0.9, 0.95), weight_decay=0.05),
    constructor='LayerDecayConstructor',
    clip_grad=dict(max_norm=1.0),
)
lr_scaling = dict(base_batch_size=48, with_accumulation=True)
param_scheduler = dict(warmup_epochs=1)
train_cfg = dict(type='TrainLoop', max_epochs=10)
val_dataloader = val_evaluator = test_dataloader = test_evaluator = None
default_hooks = dict(logger=dict(interval=50), checkpoint=dict(interval=10, save_best=None))
custom_hooks = [dict(type='ReconstructionHook', interval=5)]
