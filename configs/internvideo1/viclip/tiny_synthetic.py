# ViCLIP in miniature, from scratch: tools/demo_viclip.sh.
_base_ = ['../../_base_/models/viclip_tiny.py', '../../_base_/recipes/synthetic_media.py']

optim_wrapper = dict(optimizer=dict(lr=2e-3))
param_scheduler = dict(warmup_epochs=1)
train_cfg = dict(max_epochs=12, val_interval=12)
