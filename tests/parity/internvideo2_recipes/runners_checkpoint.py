"""Adapting a pretraining checkpoint for fine-tuning."""

from typing import Any

from internvideo.checkpoint.internvideo2_single import InternVideo2SingleAdapter
from tests.parity.harness import Case, CaseError, Result, RunEnv, parity_runner


@parity_runner('internvideo2_recipes/finetune_adapt')
def finetune_adapt(case: Case, env: RunEnv) -> Result:
    outputs = {}
    for index, combo in enumerate(case.facts['combos']):
        prefix = f'{case.name}.{index}.'
        published = {
            name.removeprefix(prefix): env.tensor(array)
            for name, array in case.inputs.items()
            if name.startswith(prefix)
        }
        state = _adapt(published, combo)
        # Where the published code raises, nothing is stored to compare with: it must not here.
        if not combo['fails']:
            _check_names(sorted(state), sorted(combo['result_keys']), index)
            outputs |= {f'{name}.{index}': tensor for name, tensor in state.items()}
    return Result(outputs)


def _adapt(published: dict[str, Any], combo: dict[str, Any]) -> dict[str, Any]:
    adapter = InternVideo2SingleAdapter(
        head='reset' if combo['delete_head'] else 'remap',
        orig_t_size=combo['t_size'] if combo['table'] == 'joint' else None,
        center_init=combo['center_init'],
    )
    grid = (combo['num_frames'] // combo['tubelet'], combo['new_grid'], combo['new_grid'])
    return adapter.prepare(published, grid, combo['tubelet'], combo['classes'])


def _check_names(names: list[str], wanted: list[str], index: int) -> None:
    if names != wanted:
        raise CaseError(f'combination {index} gives {names}, the case says {wanted}')
