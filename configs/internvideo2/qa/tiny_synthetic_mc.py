# Four options a question about the generated world.  Without the videos: --cfg-options
# model.blind=True.
_base_ = [
    '../../_base_/models/internvideo2_tiny_qa.py',
    '../../_base_/datasets/qa_synthetic_mc.py',
    '../../_base_/recipes/tiny_qa.py',
]

model = dict(type='VideoMultipleChoice')
train_cfg = dict(max_epochs=3, val_interval=1)
default_hooks = dict(checkpoint=dict(interval=1, save_best='choice/accuracy'))
