# Masked pretraining in miniature, without labels, from two teachers that learned the motions
# before.  tools/demo_pretrain.sh trains them, runs this, and fine-tunes.
_base_ = [
    '../../_base_/models/internvideo2_tiny_align.py',
    '../../_base_/datasets/synthetic.py',
    '../../_base_/strategies/auto.py',
    '../../_base_/default_runtime.py',
]
model = dict(
    neck=dict(clip_decoder='LinearDecoder', mae_dim=96),
    targets=dict(
        mae=dict(
            encoder=dict(
                type='VideoMAE',
                arch=None,
                embed_dim=96,
                depth=3,
                num_heads=4,
                mlp_ratio=4.0,
                img_size=32,
                patch_size=8,
                num_frames=8,
                tubelet_size=4,
                pos_embed='stored',
            ),
            layers=dict(count=2),
            dtype='float32',
            init_cfg=dict(
                type='Published',
                adapter='videomae_teacher',
                checkpoint='{{$INTERNVIDEO2_MODEL_PATH:checkpoints}}/tiny_mae_teacher.pth',
            ),
        ),
    ),
    masker=dict(per='frame'),
    mae_layers=dict(count=2),
)
train_cfg = dict(type='TrainLoop', max_epochs=4)
val_dataloader = val_evaluator = test_dataloader = test_evaluator = None
default_hooks = dict(logger=dict(interval=37), checkpoint=dict(interval=4, save_best=None))
