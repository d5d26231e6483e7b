"""Interface of strategies, the only one that loops and tools know."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from mmengine.device import get_device
from mmengine.dist import get_rank, get_world_size
from mmengine.optim import OptimWrapper
from torch import Tensor, nn

from internvideo.checkpoint.training_state.checkpoint_files import CheckpointError


class Strategy:
    """Places a model on devices and processes, and takes its whole state out again.

    A subclass for another way of sharding overrides what differs.  The ``*_state`` methods are
    called on every rank together; the full state is needed on rank 0 only.

    ``copies_state``: whether the state that is handed out is a copy, which training does not
    change any more.
    """

    copies_state = False

    @property
    def rank(self) -> int:
        """Number of this process, from 0."""
        return get_rank()

    @property
    def world_size(self) -> int:
        """Number of processes."""
        return get_world_size()

    @property
    def device(self) -> torch.device:
        """Device that this process computes on."""
        return torch.device(get_device())

    def wrap_model(self, model: nn.Module) -> nn.Module:
        """Move ``model`` to its device and wrap it, before an optimiser exists."""
        return model.to(self.device)

    def prepare_training(
        self, model: nn.Module, optim_wrapper: OptimWrapper
    ) -> tuple[nn.Module, OptimWrapper]:
        """Join the wrapped model and its optimiser, for libraries that own both."""
        return model, optim_wrapper

    def unwrap(self, model: nn.Module) -> nn.Module:
        """Model as its author wrote it."""
        return model

    @contextmanager
    def evaluated(self, model: nn.Module) -> Iterator[nn.Module]:
        """Model to evaluate in place of ``model``, whose calls wait for no other process."""
        yield model

    def model_state(self, model: nn.Module) -> dict[str, Tensor]:
        """Full state of the unwrapped model, under its own names."""
        return self.unwrap(model).state_dict()

    def load_model_state(self, model: nn.Module, state: Mapping[str, Tensor], source: str) -> None:
        """Load all of ``state`` into ``model``.

        Raises:
            CheckpointError: names or shapes differ; the message names ``source`` and the keys.
        """
        own = self.unwrap(model)
        check_same_layout(own.state_dict(), state, source)
        own.load_state_dict(state)

    def owned_weights(self, model: nn.Module) -> dict[str, Tensor]:
        """Trainable weights as this process holds them, whole or a shard of each."""
        named = self.unwrap(model).named_parameters()
        return {name: parameter.data for name, parameter in named if parameter.requires_grad}

    @torch.no_grad()
    def exchange_weights(self, model: nn.Module, values: Mapping[str, Tensor]) -> None:
        """Swap the contents of the trainable weights and ``values``, which are sharded alike."""
        # In place and one at a time: optimisers and wrappers hold these very tensors, and a second
        # copy of a large model would not fit.
        for name, live in self.owned_weights(model).items():
            held = live.clone()
            live.copy_(values[name])
            values[name].copy_(held)

    def gather_owned(self, model: nn.Module, values: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Whole tensors on rank 0's CPU of ``values``, held as :meth:`owned_weights` are.

        Tied parameters have all their names, as in a state.
        """
        whole = {name: value.to('cpu', copy=True) for name, value in values.items()}
        return with_tied(whole, tied_names(self.unwrap(model)))

    def take_owned(self, model: nn.Module, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Copies of the part of a whole ``state`` that this process holds."""
        own = self.owned_weights(model)
        return {name: state[name].to(weight, copy=True) for name, weight in own.items()}

    def optimizer_state(self, model: nn.Module, optim_wrapper: OptimWrapper) -> dict:
        """Full state of the optimiser (and its loss scaler)."""
        return optim_wrapper.state_dict()

    def optimizer_shard(self, model: nn.Module, optim_wrapper: OptimWrapper) -> dict | None:
        """Optimiser state of this process for a file of its own, or None."""
        return None

    def load_optimizer_state(
        self, model: nn.Module, optim_wrapper: OptimWrapper, state: dict
    ) -> None:
        """Load an :meth:`optimizer_state`, in which ``state['state']`` may be any mapping."""
        optim_wrapper.load_state_dict(dict(state, state=dict(state['state'])))


def tied_names(model: nn.Module) -> dict[str, str]:
    """Map from the further names of tied parameters to their first name."""
    first = {id(parameter): name for name, parameter in model.named_parameters()}
    every = model.named_parameters(remove_duplicate=False)
    return {name: first[id(p)] for name, p in every if first[id(p)] != name}


def with_tied(state: Mapping[str, Tensor], tied: Mapping[str, str]) -> dict[str, Tensor]:
    """Return ``state`` with the further names of the tied parameters in it."""
    return dict(state) | {name: state[first] for name, first in tied.items() if first in state}


def check_same_layout(
    own: Mapping[str, Tensor], other: Mapping[str, Tensor], source: str, show: int = 5
) -> None:
    """Raise :class:`CheckpointError` naming the keys where ``other`` does not fit ``own``."""
    faults = {
        'missing': [name for name in own if name not in other],
        'unexpected': [name for name in other if name not in own],
        'of another shape': [
            f'{name} {tuple(other[name].shape)} for {tuple(own[name].shape)}'
            for name in own
            if name in other and other[name].shape != own[name].shape
        ],
    }
    if not any(faults.values()):
        return
    lines = []
    for kind, names in faults.items():
        if names:
            more = f' and {len(names) - show} more' if len(names) > show else ''
            lines.append(f'{len(names)} {kind}: {", ".join(names[:show])}{more}')
    raise CheckpointError(f'checkpoint {source} does not fit this model; {"; ".join(lines)}')
