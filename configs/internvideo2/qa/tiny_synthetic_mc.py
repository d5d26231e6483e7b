# Four options a question about the generated world: what tiny_synthetic.py has learned to see and to
# read (checkpoints/tiny_qa.pth) goes on with a matching head.  Without the videos: --cfg-options
# model.blind=True.  Both, and what they start from: tools/demo_multimodal.sh qa_choice.
_base_ = [
    '../../_base_/models/internvideo2_tiny_qa.py',
    '../../_base_/datasets/qa_synthetic_mc.py',
    '../../_base_/recipes/tiny_qa.py',
]

model = dict(
    type='VideoMultipleChoice',
    init_cfg=dict(
        type='Published',
        adapter='internvideo2_answering',
        checkpoint='{{$INTERNVIDEO2_MODEL_PATH:checkpoints}}/tiny_qa.pth',
        new_parts=['itm_head'],
    ),
)
param_scheduler = dict(warmup_epochs=0.1)
train_cfg = dict(max_epochs=2, val_interval=1)
default_hooks = dict(checkpoint=dict(interval=1, save_best='choice/accuracy'))
