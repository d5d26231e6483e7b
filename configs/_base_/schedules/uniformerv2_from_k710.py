# Fine-tuning of what was trained on Kinetics-710.
_base_ = './uniformerv2.py'

param_scheduler = dict(warmup_epochs=1)
train_cfg = dict(max_epochs=5)
