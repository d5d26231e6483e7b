"""Checkpoint conversion of the InternVideo2 single-modality models."""

import tempfile
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from internvideo.checkpoint.adapters.internvideo2_names import STAGE2_PREFIX
from internvideo.checkpoint.adapters.internvideo2_single import InternVideo2SingleAdapter
from internvideo.checkpoint.adapters.kinetics import remap_k710_head
from internvideo.checkpoint.files import read_state_dict
from internvideo.checkpoint.tensor_conversion import average_patch_kernel, inflate_patch_kernel
from internvideo.ops.position_tables import (
    Grid,
    interpolate_image_table,
    interpolate_joint_table,
    interpolate_separate_tables,
)
from internvideo.registry import MODELS
from internvideo.verification.cases import Case, CaseError, RunEnv
from internvideo.verification.facts import Facts
from internvideo.verification.runner_registry import Result, parity_runner

from .classifier import encoder_config


@parity_runner('internvideo2_single/head_remap')
def head_remap(case: Case, env: RunEnv) -> Result:
    head = [env.tensor(case.inputs[name]) for name in ('head.weight', 'head.bias')]
    outputs = {}
    case.facts.require(
        label_maps='k710_label_maps.json',
        delete_head=False,
        num_classes=[target['num_classes'] for target in case.facts['targets']],
    )
    for target in case.facts['targets']:
        weight, bias = remap_k710_head(*head, target['num_classes'])
        outputs |= {target['weight']: weight, target['bias']: bias}
    return Result(outputs)


@parity_runner('internvideo2_single/key_prefixes')
def key_prefixes(case: Case, env: RunEnv) -> Result:
    facts = case.facts
    facts.require(num_classes=None)  # a head is kept or deleted here, never remapped
    with tempfile.TemporaryDirectory() as folder:
        first, second = Path(folder, 'first.pth'), Path(folder, 'stage2.pth')
        _save_scalars(
            first, facts['checkpoint_keys'], facts['checkpoint_values'], facts.get('container')
        )
        extra = facts.get('extra_keys') or []
        _save_scalars(second, extra, facts.get('extra_values') or [], facts.get('extra_container'))
        adapter = InternVideo2SingleAdapter(
            delete_head=facts.get('delete_head', False),
            interpolate=False,
            # A second file without a vision tower changes nothing; the adapter refuses it.
            extra=second if any(key.startswith(STAGE2_PREFIX) for key in extra) else None,
        )
        state = adapter.prepare(read_state_dict(first), grid=(1, 1, 1))
    return Result({'values': torch.stack(list(state.values()))}, {'names': list(state)})


@parity_runner('internvideo2_single/pos_interp')
def pos_interp(case: Case, env: RunEnv) -> Result:
    outputs = {}
    for facts in case.facts['conversions']:
        _check_conversion(case, facts)
        side = facts['img_size'] // facts['patch_size']
        frames = facts['num_frames'] * facts.get('num_segments', 1)
        grid = (frames // facts.get('tubelet_size', 1), side, side)
        for table in facts['tables']:
            tensor = env.tensor(case.inputs[table['input']])
            outputs[table['output']] = _resized(tensor, table['kind'], grid, facts)
    return Result(outputs)


def _check_conversion(case: Case, facts: Facts) -> None:
    """Check what a conversion says of its tables against the tables."""
    facts.ignore('name')  # a part of the names of its tables
    kinds = [table['kind'] for table in facts['tables']]
    facts.require(sep='joint' not in kinds)
    steps, extra = facts.get('orig_t_size', 8), facts.get('extra_rows', 1)
    for table in facts['tables']:
        rows, width = case.inputs[table['input']].shape[-2:]
        facts.require(dim=width)
        patches = facts.get('orig_grid', 0) ** 2
        old = dict(joint=extra + steps * patches, spatial=patches, temporal=steps)
        if 'orig_grid' in facts and rows != old.get(table['kind'], rows):
            raise CaseError(f'{table["input"]} has {rows} rows, the case says {old}')


def _resized(table: Tensor, kind: str, grid: Grid, facts: dict[str, Any]) -> Tensor:
    steps, *patches = grid
    if kind == 'joint':
        steps, extra = facts.get('orig_t_size', 8), facts.get('extra_rows', 1)
        return interpolate_joint_table(table, steps, grid, extra_rows=extra)
    if kind == 'spatial':
        return interpolate_separate_tables(table, table.new_zeros(1, steps, 1), grid)[0]
    if kind == 'temporal':
        spatial = table.new_zeros(1, patches[0] * patches[1], 1)
        return interpolate_separate_tables(spatial, table, grid)[1]
    return table


@parity_runner('internvideo2_single/patch_inflate')
def patch_inflate(case: Case, env: RunEnv) -> Result:
    outputs = {
        facts['name']: inflate_patch_kernel(
            env.tensor(case.inputs[facts['input']]),
            facts['time_dim'],
            center=facts.get('center', True),
        )
        for facts in case.facts.get('inflations', ())
    }
    for facts in case.facts.get('time_averages', ()):
        outputs[facts['name']] = average_patch_kernel(env.tensor(case.inputs[facts['input']]))
    return Result(outputs)


@parity_runner('internvideo2_single/internvl_interp')
def internvl_interp(case: Case, env: RunEnv) -> Result:
    outputs = {}
    for facts in case.facts['conversions']:
        facts.ignore('name')  # a part of the names of its tables
        side = facts['img_size'] // facts['patch_size']
        weight, table = (
            env.tensor(case.inputs[facts['inputs'][name]])
            for name in ('patch_weight_2d', 'pos_embed')
        )
        names, rows = facts['outputs'], table.shape[-2] - facts.get('extra_rows', 1)
        facts.require(dim=table.shape[-1], orig_grid=round(rows**0.5))
        outputs[names['patch_weight']] = inflate_patch_kernel(weight, 1)
        outputs[names['pos_embed']] = interpolate_image_table(
            table, (side, side), extra_rows=facts.get('extra_rows', 1)
        )
    return Result(outputs)


@parity_runner('internvideo2_single/stage2_teacher_load')
def stage2_teacher_load(case: Case, env: RunEnv) -> Result:
    facts = case.facts
    facts.require(no_model=True, checkpoint_prefix=STAGE2_PREFIX)
    facts['model'].require(arch='InternVideo2_teacher')
    model = MODELS.build(encoder_config(facts['model'], env))
    stage2 = {name: env.tensor(array) for name, array in case.inputs.items()}
    adapter = InternVideo2SingleAdapter(stage2=True, orig_t_size=facts.get('orig_t_size', 4))
    state = adapter.prepare(stage2, model.grid, facts['model'].get('tubelet_size', 1))
    model.load_state_dict(adapter.to_ours(stage2, model), strict=False)
    expected = {'names': list(state), 'training_mode_after_load': model.training}
    return Result(state, expected)


def _save_scalars(path: Path, keys: list[str], values: list[float], container: str | None) -> None:
    state = {key: torch.tensor(value) for key, value in zip(keys, values, strict=True)}
    torch.save({container: state} if container else state, path)
