# The whole pipeline in miniature: 0.45 M parameters learn eight motions from generated mp4 files in
# about three minutes of CPU time.  Tubelets of four frames: in trial runs two took half as long again
# per step, and took off later or not at all.  No layer scales: nothing was pretrained.
_base_ = [
    '../_base_/models/internvideo2_recognizer.py',
    '../_base_/datasets/synthetic.py',
    '../_base_/schedules/finetune.py',
    '../_base_/strategies/auto.py',
    '../_base_/default_runtime.py',
]
model = dict(
    data_preprocessor=dict(batch_augments=[]),
    backbone=dict(
        arch=None,
        embed_dim=96,
        depth=3,
        num_heads=4,
        mlp_ratio=4.0,
        img_size=32,
        patch_size=8,
        tubelet_size=4,
        init_values=0,
        clip_embed_dim=96,
        attn_pool_num_heads=4,
    ),
    head=dict(num_classes=8, in_dim=96, init_scale=1.0),
    init_cfg=None,
)
optim_wrapper = dict(
    _delete_=True,
    type='OptimWrapper',
    optimizer=dict(type='AdamW', lr=2e-3, betas=(0.9, 0.98), weight_decay=0.05),
    constructor='LayerDecayConstructor',
    clip_grad=dict(max_norm=1.0),
)
lr_scaling = dict(base_batch_size=32)
param_scheduler = dict(warmup_epochs=3)
train_cfg = dict(max_epochs=28, val_interval=4)
default_hooks = dict(logger=dict(interval=37), checkpoint=dict(interval=4))
