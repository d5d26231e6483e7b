"""Adapting a pretraining checkpoint for fine-tuning."""

from typing import Any

from internvideo.checkpoint.adapters.internvideo2_single import InternVideo2SingleAdapter
from internvideo.verification.cases import Case, CaseError, RunEnv
from internvideo.verification.runner_registry import Result, parity_runner


@parity_runner('internvideo2_recipes/finetune_adapt')
def finetune_adapt(case: Case, env: RunEnv) -> Result:
    outputs = {}
    for index, combo in enumerate(case.facts['combos']):
        published = {
            role.removeprefix(f'{index}.'): env.tensor(array)
            for role, array in _roles(case).items()
            if role.startswith(f'{index}.')
        }
        state = _adapt(published, combo)
        # Where the published code raises, nothing is stored to compare with: it must not here.
        if not combo.get('fails', False):
            _check_names(sorted(state), sorted(combo['result_keys']), index)
            outputs |= {f'{name}.{index}': tensor for name, tensor in state.items()}
    return Result(outputs)


def _roles(case: Case) -> dict[str, Any]:
    """Inputs by what follows the first dot of their names."""
    return {name.partition('.')[2]: array for name, array in case.inputs.items()}


def _adapt(published: dict[str, Any], combo: dict[str, Any]) -> dict[str, Any]:
    adapter = InternVideo2SingleAdapter(
        head='reset' if combo.get('delete_head', False) else 'remap',
        orig_t_size=combo.get('t_size', 8) if combo['table'] == 'joint' else None,
        center_init=combo.get('center_init', False),
    )
    tubelet, side = combo.get('tubelet', 1), combo['new_grid']
    frames = combo['num_frames'] * combo.get('num_segments', 1)
    return adapter.prepare(published, (frames // tubelet, side, side), tubelet, combo['classes'])


def _check_names(names: list[str], wanted: list[str], index: int) -> None:
    if names != wanted:
        raise CaseError(f'combination {index} gives {names}, the case says {wanted}')
