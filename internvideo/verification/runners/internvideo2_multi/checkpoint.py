"""Runners of loading: which entries of which file end up where, and resized tables."""

import tempfile
from collections.abc import Sequence
from pathlib import Path

import torch

from internvideo.checkpoint.adapters.internvideo2_multi import (
    clip_text_names,
    clip_vision_names,
    plain_text_name,
)
from internvideo.checkpoint.files import read_state_dict
from internvideo.ops.position_tables import interpolate_joint_table
from internvideo.verification.cases import Case, RunEnv
from internvideo.verification.runner_registry import Result, parity_runner


def check_loaded(case: Case, loaded: dict[str, str]) -> None:
    wanted = case.facts['loaded']
    if loaded != wanted:
        odd = {name for name, _ in loaded.items() ^ wanted.items()}
        raise AssertionError(f'loaded entries differ: {sorted(odd)[:5]}')


def names_in_file(names: Sequence[str], wrap: str | None) -> list[str]:
    """Names that reading a checkpoint file finds, whose entries lie below ``wrap``."""
    if not names:  # no such file
        return []
    state = {name: torch.zeros(()) for name in names}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, 'checkpoint.pth')
        torch.save({wrap: state} if wrap else state, path)
        return list(read_state_dict(path))


def square_side(rows: int, steps: int) -> int:
    return round((rows // steps) ** 0.5)


@parity_runner(
    *(
        f'internvideo2_multi/checkpoint_clip_{name}'
        for name in ('from_stage1', 'from_stage2', 'small')
    )
)
def run_clip_loading(case: Case, env: RunEnv) -> Result:
    facts = case.facts
    facts.require(model=('clip', 'small'))
    vision, text, extra = (
        names_in_file(facts.get(f'{part}_checkpoint') or (), facts.get('wrap'))
        for part in ('vision', 'text', 'extra')
    )
    loaded = clip_vision_names(vision, facts['mode']) | clip_text_names(text)
    loaded |= {name: name for name in extra}
    check_loaded(case, loaded)
    table = env.tensor(case.role('pos'))
    side = square_side(table.shape[1] - 1, facts['t_old'])
    resized = interpolate_joint_table(table, facts['t_old'], (facts['t_new'], side, side))
    return Result({'loaded:vision_encoder.pos_embed': resized, 'count': torch.tensor(len(loaded))})


@parity_runner('internvideo2_multi/checkpoint_stage2_finetune_rename')
def run_rename(case: Case, env: RunEnv) -> Result:
    loaded = {plain_text_name(name): name for name in case.facts['checkpoint']}
    check_loaded(case, loaded)
    return Result(dict(count=torch.tensor(len(loaded))))
