"""Checkpoint surgery of the InternVideo2 single-modality models."""

import inspect
import tempfile
from pathlib import Path

import torch

from internvideo.checkpoint.files import read_state_dict
from internvideo.checkpoint.internvideo2_single import InternVideo2SingleAdapter
from internvideo.checkpoint.surgery import (
    average_patch_kernel,
    inflate_patch_kernel,
    interpolate_image_table,
    interpolate_joint_table,
    interpolate_separate_tables,
    remap_k710_head,
)
from internvideo.models.backbones.internvideo2 import InternVideo2
from tests.parity.harness import Case, Result, RunEnv, parity_runner


@parity_runner('internvideo2_single/head_remap')
def head_remap(case: Case, env: RunEnv) -> Result:
    head = [env.tensor(case.inputs[name]) for name in ('head.weight', 'head.bias')]
    outputs = {}
    for target in case.facts['targets']:
        weight, bias = remap_k710_head(*head, target['num_classes'])
        outputs |= {target['weight']: weight, target['bias']: bias}
    return Result(outputs)


@parity_runner('internvideo2_single/key_prefixes')
def key_prefixes(case: Case, env: RunEnv) -> Result:
    facts = case.facts
    with tempfile.TemporaryDirectory() as folder:
        first, second = Path(folder, 'first.pth'), Path(folder, 'stage2.pth')
        _save_scalars(
            first, facts['checkpoint_keys'], facts['checkpoint_values'], facts['container']
        )
        _save_scalars(second, facts['extra_keys'], facts['extra_values'], facts['extra_container'])
        adapter = InternVideo2SingleAdapter(
            delete_head=facts['delete_head'],
            interpolate=False,
            extra=second if facts['extra_keys'] else None,
        )
        state = adapter.prepare(read_state_dict(first), grid=(1, 1, 1))
    return Result({'values': torch.stack(list(state.values()))}, {'names': list(state)})


@parity_runner('internvideo2_single/pos_interp')
def pos_interp(case: Case, env: RunEnv) -> Result:
    outputs = {}
    for facts in case.facts['conversions']:
        side = facts['img_size'] // facts['patch_size']
        grid = (facts['num_frames'] // facts['tubelet_size'], side, side)
        tables = {t['kind']: env.tensor(case.inputs[t['input']]) for t in facts['tables']}
        names = {t['kind']: t['output'] for t in facts['tables']}
        if facts['sep']:
            resized = interpolate_separate_tables(tables['spatial'], tables['temporal'], grid)
            outputs |= {names['spatial']: resized[0], names['temporal']: resized[1]}
        else:
            outputs[names['joint']] = interpolate_joint_table(
                tables['joint'], facts['orig_t_size'], grid, extra_rows=facts['extra_rows']
            )
    return Result(outputs)


@parity_runner('internvideo2_single/patch_inflate')
def patch_inflate(case: Case, env: RunEnv) -> Result:
    outputs = {
        facts['name']: inflate_patch_kernel(
            env.tensor(case.inputs[facts['input']]), facts['time_dim'], center=facts['center']
        )
        for facts in case.facts['inflations']
    }
    for facts in case.facts['time_averages']:
        outputs[facts['name']] = average_patch_kernel(env.tensor(case.inputs[facts['input']]))
    return Result(outputs)


@parity_runner('internvideo2_single/internvl_interp')
def internvl_interp(case: Case, env: RunEnv) -> Result:
    outputs = {}
    for facts in case.facts['conversions']:
        side = facts['img_size'] // facts['patch_size']
        weight, table = (
            env.tensor(case.inputs[facts['inputs'][name]])
            for name in ('patch_weight_2d', 'pos_embed')
        )
        names = facts['outputs']
        outputs[names['patch_weight']] = inflate_patch_kernel(weight, 1)
        outputs[names['pos_embed']] = interpolate_image_table(
            table, (side, side), extra_rows=facts['extra_rows']
        )
    return Result(outputs)


@parity_runner('internvideo2_single/stage2_teacher_load')
def stage2_teacher_load(case: Case, env: RunEnv) -> Result:
    known = inspect.signature(InternVideo2).parameters
    fields = {name: value for name, value in case.facts['model'].items() if name in known}
    model = InternVideo2(**{**fields, 'arch': None})
    stage2 = {name: env.tensor(array) for name, array in case.inputs.items()}
    adapter = InternVideo2SingleAdapter(stage2=True, orig_t_size=case.facts['orig_t_size'])
    state = adapter.to_ours(stage2, model)
    model.load_state_dict(state, strict=False)
    expected = {'names': list(state), 'training_mode_after_load': model.training}
    return Result(state, expected)


def _save_scalars(path: Path, keys: list[str], values: list[float], container: str | None) -> None:
    state = {key: torch.tensor(value) for key, value in zip(keys, values, strict=True)}
    torch.save({container: state} if container else state, path)
