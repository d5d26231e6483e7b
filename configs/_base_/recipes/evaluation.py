# Testing a released model by one or more sets of the table.
_base_ = ['../datasets/evaluation_sets.py', '../strategies/auto.py', '../default_runtime.py']

val_dataloader = val_cfg = val_evaluator = None
randomness = dict(seed=42)
default_hooks = dict(checkpoint=dict(save_best=None))
