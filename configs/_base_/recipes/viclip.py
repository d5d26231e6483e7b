# ViCLIP's pretraining: a tenth of the patches of eight frames, 32,768 pairs a step.
_base_ = [
    '../datasets/viclip_corpora.py',
    '../datasets/evaluation_sets.py',
    '../schedules/stage2.py',
    '../strategies/auto.py',
    '../default_runtime.py',
]
num_gpus = 64
randomness = dict(seed=42)

train_dataloader = dict(
    batch_sampler=dict(batch_size=512), dataset=dict(sampling=dict(num_frames=8))
)
val_dataloader = test_dataloader = dict(
    batch_size=64, dataset=dict(sets=['msrvtt_1k_test'], sampling=dict(num_frames=8))
)
optim_wrapper = dict(optimizer=dict(lr=4e-4, weight_decay=0.2), clip_grad=None)
param_scheduler = dict(warmup_epochs=0.5)
train_cfg = dict(max_epochs=10)
default_hooks = dict(checkpoint=dict(save_best='msrvtt_1k_test_emb/t2v_r1'))
