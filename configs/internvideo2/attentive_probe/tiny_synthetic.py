# Attentive probing in miniature: the encoder of the tiny pretraining stays as it is; its attention
# pooling and the head learn the eight motions.
_base_ = '../tiny_synthetic.py'

checkpoint = '{{$INTERNVIDEO2_MODEL_PATH:checkpoints}}/tiny_pretrained.pth'
model = dict(
    freeze=dict(open_pooler=True),
    head=dict(type='AttentiveProbeHead'),
    init_cfg=dict(
        _delete_=True, type='Published', adapter='internvideo2_single', checkpoint=checkpoint
    ),
)
optim_wrapper = dict(optimizer=dict(weight_decay=0.0))
param_scheduler = dict(warmup_epochs=1)
train_cfg = dict(max_epochs=4)
