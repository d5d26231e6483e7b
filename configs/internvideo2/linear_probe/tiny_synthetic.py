# Linear probing in miniature: one linear map of the class token, the mean of each time step and the
# pooled vector of an encoder that stays as the tiny pretraining left it.
_base_ = '../tiny_synthetic.py'

checkpoint = '{{$INTERNVIDEO2_MODEL_PATH:checkpoints}}/tiny_pretrained.pth'
model = dict(
    freeze=dict(open_blocks=0),
    head=dict(type='ConcatProbeHead', embed_dim=96, num_steps=2, merge_method='cls_avgN_proj'),
    init_cfg=dict(
        _delete_=True, type='Published', adapter='internvideo2_single', checkpoint=checkpoint
    ),
)
optim_wrapper = dict(optimizer=dict(weight_decay=0.0))
param_scheduler = dict(warmup_epochs=1)
train_cfg = dict(max_epochs=4)
