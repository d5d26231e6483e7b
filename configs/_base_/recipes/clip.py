# CLIP post-training on 25 million pairs, checked by Kinetics-400.
_base_ = './training.py'
num_gpus = 16

train_dataloader = dict(
    num_workers=12,
    dataset=dict(
        mix=['webvid_10m', 'cc3m', 'coco', 'vg', 'sbu', 'cc12m'], sampling=dict(num_frames=8)
    ),
    batch_sampler=dict(batch_size=256),
)
val_dataloader = test_dataloader = dict(
    batch_size=64,
    num_workers=12,
    dataset=dict(sets=['k400_act_val'], sampling=dict(num_frames=8)),
)
optim_wrapper = dict(optimizer=dict(lr=4e-4, weight_decay=0.2), clip_grad=None)
param_scheduler = dict(warmup_epochs=0.6)
train_cfg = dict(max_epochs=3)
default_hooks = dict(checkpoint=dict(interval_iters=500, save_best='k400_act_val/top1'))
