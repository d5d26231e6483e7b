# Stage-2 pretraining in miniature: tools/demo_multimodal.sh stage2.
_base_ = [
    '../../_base_/models/internvideo2_tiny_stage2.py',
    '../../_base_/recipes/synthetic_media.py',
]
train_cfg = dict(max_epochs=16, val_interval=8)
