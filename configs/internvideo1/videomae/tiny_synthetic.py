# Fine-tuning the encoder of pretrain/tiny_synthetic.py from few labels: the five clips a class of
# few.csv, which tools/demo_videomae.sh picks from the training list.  Rate and length suit training
# from scratch, with which it is compared: docs/internvideo1.md has what 2e-3 for 40 epochs gave.
_base_ = [
    '../../_base_/datasets/synthetic.py',
    '../../_base_/schedules/finetune.py',
    '../../_base_/strategies/auto.py',
    '../../_base_/default_runtime.py',
]
model = dict(
    type='VideoRecognizer',
    data_preprocessor=dict(type='ClipDataPreprocessor'),
    backbone=dict(
        type='VideoMAE',
        arch=dict(embed_dim=96, depth=3, num_heads=4, mlp_ratio=4.0),
        img_size=32,
        patch_size=8,
        num_frames=8,
        tubelet_size=4,
        pos_embed='own',
        final_norm=False,
        pooling='mean',
    ),
    head=dict(type='ClassificationHead', num_classes=8, in_dim=96, init_scale=1.0, norm_eps=1e-6),
    init_cfg=dict(
        type='Published',
        adapter='videomae_finetune',
        checkpoint='{{$INTERNVIDEO2_MODEL_PATH:checkpoints}}/tiny_videomae.pth',
    ),
)
train_dataloader = dict(
    batch_size=8,
    num_workers=0,
    persistent_workers=False,
    dataset=dict(
        ann_file='{{$INTERNVIDEO2_DATA_PATH:data}}/synthetic/recognition/few.csv', num_repeats=4
    ),
)
val_dataloader = val_evaluator = val_cfg = None
test_dataloader = dict(num_workers=0, persistent_workers=False)
optim_wrapper = dict(
    _delete_=True,
    type='OptimWrapper',
    optimizer=dict(type='AdamW', lr=1e-3, betas=(0.9, 0.98), weight_decay=0.05),
    constructor='LayerDecayConstructor',
    paramwise_cfg=dict(layer_decay_rate=1.0),
    clip_grad=dict(max_norm=1.0),
)
lr_scaling = dict(base_batch_size=32)
param_scheduler = dict(warmup_epochs=4)
train_cfg = dict(type='TrainLoop', max_epochs=60)
default_hooks = dict(logger=dict(interval=10), checkpoint=dict(interval=60, save_best=None))
