# Training to answer.  No recipe was published: optimiser, batch, length and ZeRO stage are those of
# fine-tuning stage 2 for retrieval (stage2_finetune.py).
_base_ = [
    '../schedules/stage2.py',
    '../strategies/auto_zero1_multi.py',
    '../default_runtime.py',
]
num_gpus = 4
optim_wrapper = dict(optimizer=dict(lr=5e-6))
train_cfg = dict(max_epochs=5)
val_cfg, test_cfg = dict(amp_dtype='bfloat16'), dict(amp_dtype='bfloat16')
strategy = dict(zero=dict(stage=2))
randomness = dict(seed=42)
