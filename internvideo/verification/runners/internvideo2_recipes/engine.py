"""Optimiser groups and schedules of the published recipes."""

import numpy as np

from internvideo.engine.optimizers.parameter_groups import (
    Group,
    layer_decay_groups,
    module_lr_groups,
)
from internvideo.engine.schedulers.step_schedules import (
    Horizon,
    linear_warmup_cosine_factor,
    warmup_cosine_value,
    warmup_length,
)
from internvideo.models.backbones.base import layer_of
from internvideo.verification.cases import Case, RunEnv
from internvideo.verification.runner_registry import Result, parity_runner


def _trainable(facts: dict) -> list[tuple[str, int]]:
    frozen = set(facts.get('frozen', ()))
    return [(name, len(shape)) for name, shape in facts['parameters'] if name not in frozen]


def _group_index(facts: dict, groups: list[Group]) -> np.ndarray:
    index = {name: i for i, group in enumerate(groups) for name in group.names}
    return np.array([index.get(name, -1) for name, _ in facts['parameters']])


@parity_runner('internvideo2_recipes/layer_decay')
def layer_decay(case: Case, env: RunEnv) -> Result:
    """Parameter groups of the single-modality recipes."""
    facts = case.facts
    facts.ignore('note')  # words
    groups = layer_decay_groups(
        _trainable(facts),
        lambda name: layer_of(name, facts['depth']),
        facts['depth'] + 1,
        facts.get('layer_decay', 1.0),
        facts['weight_decay'],
        facts.get('no_weight_decay', ()),
    )
    return Result(
        outputs={
            'group_index': _group_index(facts, groups),
            'group_lr_scale': np.array([group.lr_scale for group in groups]),
            'group_weight_decay': np.array([group.weight_decay for group in groups]),
            'group_size': np.array([len(group.names) for group in groups]),
        }
    )


@parity_runner('internvideo2_recipes/mm_groups')
def mm_groups(case: Case, env: RunEnv) -> Result:
    """Parameter groups of the multi-modality recipes."""
    facts, optimizer = case.facts, case.facts['optimizer']
    own = optimizer.get('different_lr') or {}
    optimizer.ignore('opt', 'opt_betas', 'max_grad_norm')  # not part of the groups
    modules = own.get('module_names') or ()
    groups = module_lr_groups(
        _trainable(facts),
        optimizer['lr'],
        optimizer['weight_decay'],
        modules if own.get('enable') else (),
        own.get('lr'),
        facts.get('no_weight_decay', ()),
    )
    return Result(
        outputs={
            'group_index': _group_index(facts, groups),
            'group_lr': np.array([group.lr for group in groups]),
            'group_weight_decay': np.array([group.weight_decay for group in groups]),
        }
    )


def _table(combo: dict) -> np.ndarray:
    horizon = Horizon(combo['niter_per_ep'], combo['epochs'])
    base, final = combo['base_value'], combo['final_value']
    start = combo.get('start_warmup_value', 0.0)
    try:
        warmup = warmup_length(
            horizon, combo.get('warmup_epochs', 0), combo.get('warmup_steps', -1)
        )
    except ValueError:
        return np.zeros(0)
    values = [
        warmup_cosine_value(step, base, final, start, warmup, horizon.steps)
        for step in range(horizon.steps)
    ]
    return np.array(values)


@parity_runner('internvideo2_recipes/cosine_schedule')
def cosine_schedule(case: Case, env: RunEnv) -> Result:
    """Step tables of the single-modality schedule."""
    combos = case.facts['combos']
    return Result(outputs={f's{i}': _table(combo) for i, combo in enumerate(combos)})


@parity_runner('internvideo2_recipes/warmup_cosine')
def warmup_cosine(case: Case, env: RunEnv) -> Result:
    """Step tables of the multi-modality schedule."""
    outputs = {}
    for index, combo in enumerate(case.facts['combos']):
        steps, warmup = combo['training_steps'], combo.get('warmup_steps', 0)
        factors = [
            linear_warmup_cosine_factor(step, warmup, steps, combo.get('min_lr_multi', 0.0))
            for step in range(steps + combo.get('extra', 0))
        ]
        outputs[f'lr{index}'] = combo['lr'] * np.array(factors)
    return Result(outputs=outputs)
