_base_ = ['../../_base_/models/internvideo2_clip_6B.py', '../../_base_/recipes/clip.py']
recipe = 'internvideo2_multi_modality/pretraining/clip/6B/config'

train_dataloader = dict(batch_sampler=dict(batch_size=128))
param_scheduler = dict(warmup_epochs=0.2)
train_cfg = dict(max_epochs=1)
default_hooks = dict(checkpoint=dict(interval_iters=1000))
