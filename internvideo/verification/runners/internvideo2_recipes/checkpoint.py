"""Adapting a pretraining checkpoint for fine-tuning."""

from typing import Any

from internvideo.checkpoint.adapters.internvideo2_single import InternVideo2SingleAdapter
from internvideo.verification.cases import Case, CaseError, RunEnv
from internvideo.verification.facts import Facts
from internvideo.verification.runner_registry import Result, parity_runner


@parity_runner('internvideo2_recipes/finetune_adapt')
def finetune_adapt(case: Case, env: RunEnv) -> Result:
    outputs = {}
    for index, combo in enumerate(case.facts['combos']):
        published = {
            role.removeprefix(f'{index}.'): env.tensor(case.role(role))
            for role in case.roles
            if role.startswith(f'{index}.')
        }
        _check_published(published, combo)
        state = _adapt(published, combo)
        # Where the published code raises, nothing is stored to compare with: it must not here.
        if not combo.get('fails', False):
            _check_names(sorted(state), sorted(combo['result_keys']), index)
            outputs |= {f'{name}.{index}': tensor for name, tensor in state.items()}
    return Result(outputs)


def _check_published(published: dict[str, Any], combo: Facts) -> None:
    """Check what a combination says of its checkpoint against the checkpoint."""
    tables = [value for name, value in published.items() if 'pos_embed' in name]
    head = published.get('head.weight')
    combo.require(
        dim=tuple({table.shape[-1] for table in tables}), head=None if head is None else len(head)
    )
    patches = combo.get('grid', combo['new_grid']) ** 2
    if not any((table.shape[1] - extra) % patches == 0 for table in tables for extra in (0, 1)):
        raise CaseError(f'no position table has rows for a grid of side {combo["grid"]}')
    start, inner = combo.get('prefix', ''), [n for n in published if not n.startswith('head.')]
    if not all(name.startswith(start) for name in inner):
        raise CaseError(f'the entries do not start with {start!r}')


def _adapt(published: dict[str, Any], combo: dict[str, Any]) -> dict[str, Any]:
    old_steps = combo.get('t_size', 8)
    adapter = InternVideo2SingleAdapter(
        head='reset' if combo.get('delete_head', False) else 'remap',
        orig_t_size=old_steps if combo['table'] == 'joint' else None,
        center_init=combo.get('center_init', False),
    )
    tubelet, side = combo.get('tubelet', 1), combo['new_grid']
    frames = combo['num_frames'] * combo.get('num_segments', 1)
    return adapter.prepare(published, (frames // tubelet, side, side), tubelet, combo['classes'])


def _check_names(names: list[str], wanted: list[str], index: int) -> None:
    if names != wanted:
        raise CaseError(f'combination {index} gives {names}, the case says {wanted}')
