# CLIP in miniature, from scratch: tools/demo_multimodal.sh clip.
_base_ = [
    '../../_base_/models/internvideo2_tiny_clip.py',
    '../../_base_/recipes/synthetic_media.py',
]
train_cfg = dict(max_epochs=24, val_interval=8)
