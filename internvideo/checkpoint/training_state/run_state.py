"""The part of a checkpoint that is neither weights nor optimiser, as plain data."""

from typing import Any

import numpy as np
import torch
from mmengine.dist import all_gather_object
from mmengine.logging import HistoryBuffer, MessageHub

from .checkpoint_files import as_plain
from .random_state import get_random_state

KEPT_SCALARS = 1000
# Facts of the run that goes on, which its own config says; the horizon may be another one.
NOT_RESUMED = ('loop_stage', 'cfg', 'experiment_name', 'max_epochs', 'max_iters')


def pack_messages(hub: MessageHub) -> dict:
    """``hub`` without its classes: the last values of each scalar, and the information."""
    # mmengine would save its HistoryBuffer, which weights_only=True refuses to load.
    state = hub.state_dict()
    scalars = {}
    for name, buffer in state['log_scalars'].items():
        values, counts = buffer.data
        scalars[name] = dict(
            values=torch.tensor(np.asarray(values[-KEPT_SCALARS:], dtype=np.float64)),
            counts=torch.tensor(np.asarray(counts[-KEPT_SCALARS:], dtype=np.int64)),
        )
    info = {name: value for name, value in state['runtime_info'].items() if name not in NOT_RESUMED}
    return dict(scalars=scalars, info=as_plain(info))


def unpack_messages(hub: MessageHub, packed: dict) -> None:
    """Put back what :func:`pack_messages` returned."""
    for name, pair in packed['scalars'].items():
        hub.log_scalars[name] = HistoryBuffer(pair['values'].tolist(), pair['counts'].tolist())
        # Without it the hub leaves the scalar out of its next state_dict().
        hub._set_resumed_keys(name, True)
    for name, value in packed['info'].items():
        hub.update_info(name, value)


def gather_random_states(state: dict | None = None) -> list[dict]:
    """The random states of all processes, in the order of their ranks.

    Args:
        state: This process's state, when it is not the present one.
    """
    return all_gather_object(as_plain(state or get_random_state()))


def derived_seed(*key: int) -> int:
    """A seed that differs for each ``key`` of non-negative numbers."""
    return int(np.random.SeedSequence(key).generate_state(1)[0])


def dataset_metainfo(dataset: Any) -> dict:
    """``dataset.metainfo``, or nothing."""
    return as_plain(getattr(dataset, 'metainfo', {}) or {})
