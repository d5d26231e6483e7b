# Pretraining of the multimodal model: contrast and captions, both of weight 1, from CLIP's weights.
#
# Published: the model, the losses, frames and sizes of the demo, and for B/16 128 A100 GPUs for 12
# days.  Not published: the training code, its data list, batch, rates and length; what stands here
# is that of CLIP post-training in this code base.  Captions say left and right: no flip.
_base_ = './training.py'
num_gpus = 128

train_dataloader = dict(
    num_workers=12,
    dataset=dict(
        mix=['webvid_10m'],
        sampling=dict(num_frames=8),
        pipeline=[
            dict(type='RandomResizedCrop', size=224, scale=(0.5, 1.0), interpolation='bicubic'),
            dict(type='PackMedia'),
        ],
    ),
    batch_sampler=dict(batch_size=64),
)
val_dataloader = test_dataloader = dict(
    batch_size=32,
    dataset=dict(
        sets=['msrvtt_1k_test'],
        max_text_length=None,
        sampling=dict(type='IntervalSample', num_frames=8, mode='ends'),
        pipeline=[
            dict(type='Resize', short_side=256, antialias=True),
            dict(type='CenterCrop', size=224),
            dict(type='PackMedia'),
        ],
    ),
)
optim_wrapper = dict(optimizer=dict(lr=1e-5, weight_decay=0.2), clip_grad=dict(max_norm=1.0))
param_scheduler = dict(warmup_epochs=0.5)
default_hooks = dict(checkpoint=dict(interval_iters=1000, save_best=None))
