# Distillation in miniature: a student of a quarter of the teacher's size, without labels.
# tools/demo_pretrain.sh trains the teacher, runs this, and fine-tunes.
_base_ = [
    '../../_base_/models/internvideo2_tiny_align.py',
    '../../_base_/datasets/synthetic.py',
    '../../_base_/strategies/auto.py',
    '../../_base_/default_runtime.py',
]
model = dict(
    backbone=dict(embed_dim=48, depth=2, num_heads=2),
    neck=dict(clip_decoder='MLPDecoder'),
)
train_cfg = dict(type='TrainLoop', max_epochs=4)
val_dataloader = val_evaluator = test_dataloader = test_evaluator = None
default_hooks = dict(logger=dict(interval=37), checkpoint=dict(interval=4, save_best=None))
