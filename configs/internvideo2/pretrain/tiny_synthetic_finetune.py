# Two epochs with labels, from the tiny pretraining.
_base_ = '../tiny_synthetic.py'

checkpoint = '{{$INTERNVIDEO2_MODEL_PATH:checkpoints}}/tiny_pretrained.pth'
model = dict(
    init_cfg=dict(
        _delete_=True, type='Published', adapter='internvideo2_single', checkpoint=checkpoint
    ),
)
param_scheduler = dict(warmup_epochs=1)
train_cfg = dict(max_epochs=2)
default_hooks = dict(checkpoint=dict(interval=2))
