# The multimodal model in miniature, from scratch: tools/demo_multimodal_internvideo1.sh.
_base_ = [
    '../../_base_/models/internvideo1_mm_tiny.py',
    '../../_base_/recipes/synthetic_media.py',
]
train_cfg = dict(max_epochs=16, val_interval=8)
