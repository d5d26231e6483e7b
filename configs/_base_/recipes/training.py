# What stage 2, its fine-tuning and CLIP share.
_base_ = [
    '../datasets/media_mixture.py',
    '../datasets/evaluation_sets.py',
    '../schedules/stage2.py',
    '../strategies/auto_zero1_multi.py',
    '../default_runtime.py',
]
randomness = dict(seed=42)
