"""State of models whose weights and optimiser are sharded over the processes."""

from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from types import MappingProxyType

import torch
import torch.distributed as dist
from mmengine.optim import OptimWrapper
from torch import Tensor, nn

from internvideo.engine.strategies.evaluation_copy import (
    copy_without_weights,
    release_parameters,
    set_tensor,
    share_attributes,
)
from internvideo.engine.strategies.strategy import (
    Strategy,
    check_same_layout,
    tied_names,
    with_tied,
)


def ensure_process_group() -> None:
    """Start a group of this process alone where no launcher made one."""
    if dist.is_initialized():
        return
    backend = 'nccl' if torch.cuda.is_available() else 'gloo'
    # A store in memory: one process needs no port, which another job might hold.
    dist.init_process_group(backend, store=dist.HashStore(), rank=0, world_size=1)


@dataclass(frozen=True)
class ParameterShard:
    """Elements of one trainable parameter that this process steps, in float32.

    ``holder`` is the tensor that the optimiser knows; ``view`` finds the shard's elements in a
    tensor shaped like it, as one axis that shares its memory; ``start`` is the position of the
    first of them in the flattened parameter of ``shape``.
    """

    shape: torch.Size
    start: int
    holder: Tensor
    view: Callable[[Tensor], Tensor]

    @property
    def weight(self) -> Tensor:
        """Elements of the shard, flat."""
        return self.view(self.holder)

    def of(self, full: Tensor) -> Tensor:
        """Elements of a whole tensor, on any device, at the positions of this shard."""
        weight = self.weight
        return full.reshape(-1)[self.start : self.start + weight.numel()].to(weight)


class ShardedStrategy(Strategy):
    """Base of strategies that shard, with checkpoints as a single process writes them.

    A checkpoint can therefore be resumed under another strategy or another number of processes.
    Tensors are gathered one at a time: rank 0 needs main memory for the whole state, a device
    memory for the largest tensor.  An evaluation while training gathers the float32 weights on
    every device and frees them afterwards.

    A subclass says which shards it has and how it keeps what is not trained.
    """

    copies_state = True
    replicated = False
    optimizer_files = 'full'
    _names: list[list[str]]
    _tied: Mapping[str, str] = MappingProxyType({})
    _scalars: frozenset[str] = frozenset()
    _evaluation_copy: nn.Module | None = None

    @abstractmethod
    def shards(self, model: nn.Module) -> dict[str, ParameterShard]:
        """Shards of the trainable parameters on this process, which may have no elements."""

    @abstractmethod
    def refresh_model(self, model: nn.Module) -> None:
        """Make forward passes see the shards after they were written to."""

    @abstractmethod
    def rest_state(self, model: nn.Module) -> Iterator[tuple[str, Tensor]]:
        """Name and whole value of each frozen parameter and each buffer that is saved.

        A tied parameter has the first of its names alone.
        """

    @abstractmethod
    def load_rest(self, model: nn.Module, state: Mapping[str, Tensor]) -> None:
        """Put back what :meth:`rest_state` gave."""

    @abstractmethod
    def state_shapes(self, model: nn.Module) -> dict[str, torch.Size]:
        """Whole shape of each entry of the model's state, in the model's order."""

    def note_groups(self, model: nn.Module, optim_wrapper: OptimWrapper) -> None:
        """Remember the names of each group, and tied names, before parameters become shards."""
        self._tied = tied_names(model)
        names = {id(parameter): name for name, parameter in model.named_parameters()}
        self._names = [
            [names[id(parameter)] for parameter in group['params']]
            for group in optim_wrapper.optimizer.param_groups
        ]

    def prepare_shards(self, model: nn.Module, shards_weights: bool = True) -> None:
        """Keep a copy of the modules for evaluations, and the names of scalar parameters."""
        self._evaluation_copy = copy_without_weights(model) if shards_weights else None
        self._scalars = give_axes(model)

    @contextmanager
    def evaluated(self, model: nn.Module) -> Iterator[nn.Module]:
        if self._evaluation_copy is None:
            yield model
            return
        copied = self._evaluation_copy.to(self.device)
        share_attributes(self.unwrap(model), copied)
        # Every process evaluates its own batches, as many as there are, so a forward pass must not
        # wait for the others as one of the sharded model would: gather once, then go alone.
        for name, shard in self.shards(model).items():
            set_tensor(copied, name, self._assemble(shard, shard.weight, everywhere=True))
        for name, tensor in self.rest_state(model):
            set_tensor(copied, name, tensor)
        try:
            yield copied
        finally:
            release_parameters(copied)

    def gather(
        self, shards: Mapping[str, ParameterShard], values: Mapping[str, Tensor]
    ) -> dict[str, Tensor]:
        """Whole tensors on rank 0, in main memory, of ``values`` sharded as ``shards`` are."""
        gathered = {}
        # One at a time: the device has room for the largest tensor, seldom for the whole model.
        for name, shard in shards.items():
            whole = self._gather_one(shard, values[name])
            if self.rank == 0:
                gathered[name] = whole
        return gathered

    def _gather_one(self, shard: ParameterShard, value: Tensor) -> Tensor:
        return self._assemble(shard, value).cpu()

    def _assemble(self, shard: ParameterShard, value: Tensor, everywhere: bool = False) -> Tensor:
        """Whole tensor, on rank 0 or on every rank, from the elements that each process has."""
        whole = torch.zeros(shard.shape.numel(), dtype=torch.float32, device=self.device)
        if self.rank == 0 or not self.replicated:
            whole[shard.start : shard.start + value.numel()] = value
        if self.world_size > 1 and not self.replicated:
            # As integers, adding zeros keeps every bit: as floats, -0.0 + 0.0 is 0.0 and a NaN may
            # change its payload, and a resumed run would not be bitwise equal.
            bits = whole.view(torch.int32)
            if everywhere:
                dist.all_reduce(bits)
            else:
                dist.reduce(bits, 0)
        return whole.view(shard.shape)

    def model_state(self, model: nn.Module) -> dict[str, Tensor]:
        shards = self.shards(model)
        state = self.gather(shards, {name: shard.weight for name, shard in shards.items()})
        state.update((name, tensor.detach().cpu()) for name, tensor in self.rest_state(model))
        state = with_tied(state, self._tied)
        return {name: state[name] for name in self.state_shapes(model) if name in state}

    def load_model_state(self, model: nn.Module, state: Mapping[str, Tensor], source: str) -> None:
        # A sharded parameter's own shape is that of its shard, so shapes are compared apart.
        shapes = self.state_shapes(model)
        own = {name: torch.empty(shape, device='meta') for name, shape in shapes.items()}
        check_same_layout(own, state, source)
        shards = self.shards(model)
        for name, shard in shards.items():
            shard.weight.copy_(shard.of(state[name]))
        done = shards.keys() | self._tied.keys()
        self.load_rest(model, {n: tensor for n, tensor in state.items() if n not in done})
        self.refresh_model(model)

    def owned_weights(self, model: nn.Module) -> dict[str, Tensor]:
        return {name: shard.weight for name, shard in self.shards(model).items()}

    def exchange_weights(self, model: nn.Module, values: Mapping[str, Tensor]) -> None:
        super().exchange_weights(model, values)
        self.refresh_model(model)

    def gather_owned(self, model: nn.Module, values: Mapping[str, Tensor]) -> dict[str, Tensor]:
        return with_tied(self.gather(self.shards(model), values), self._tied)

    def take_owned(self, model: nn.Module, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        shards = self.shards(model)
        return {name: shard.of(state[name]).clone() for name, shard in shards.items()}

    def optimizer_state(self, model: nn.Module, optim_wrapper: OptimWrapper) -> dict:
        gathered = dict(param_groups=self._plain_groups(optim_wrapper))
        if self.optimizer_files == 'sharded':
            gathered['shards'] = self.world_size
        else:
            state = {
                index: self._gather_state(shard, optim_wrapper.optimizer)
                for index, shard in self._indexed(model)
            }
            gathered['state'] = {index: entry for index, entry in state.items() if entry}
        base = optim_wrapper.base_param_settings  # mmengine logs the rate of this pseudo group
        return gathered if base is None else dict(gathered, base_param_settings=base)

    def _indexed(self, model: nn.Module) -> list[tuple[int, ParameterShard]]:
        """Shards with the numbers that an optimiser's state dict gives their parameters."""
        shards = self.shards(model)
        return list(enumerate(shards[name] for group in self._names for name in group))

    def optimizer_shard(self, model: nn.Module, optim_wrapper: OptimWrapper) -> dict | None:
        if self.optimizer_files != 'sharded':
            return None
        pieces = {}
        for index, shard in self._indexed(model):
            state = optim_wrapper.optimizer.state.get(shard.holder, {})
            if not state or not shard.weight.numel():
                continue  # parameters without gradient so far, or wholly on other processes
            split = {key for key, value in state.items() if _is_split(value, shard)}
            pieces[index] = dict(
                shape=tuple(shard.shape),
                start=shard.start,
                parts={key: shard.view(state[key]).to('cpu', copy=True) for key in split},
                scalars={key: value for key, value in state.items() if key not in split},
            )
        return pieces

    def _gather_state(self, shard: ParameterShard, optimizer: torch.optim.Optimizer) -> dict:
        entry = {}
        for key, value in optimizer.state.get(shard.holder, {}).items():
            if _is_split(value, shard):
                entry[key] = self._gather_one(shard, shard.view(value))
            else:
                entry[key] = value.clone() if isinstance(value, Tensor) else value
        return entry

    def _plain_groups(self, optim_wrapper: OptimWrapper) -> list[dict]:
        # The strategy's groups hold shards or flat buffers; a checkpoint numbers parameters as
        # the optimiser of a single process does.
        groups, first = [], 0
        for names, group in zip(self._names, optim_wrapper.optimizer.param_groups, strict=True):
            plain = {key: value for key, value in group.items() if key != 'params'}
            groups.append(dict(plain, params=list(range(first, first + len(names)))))
            first += len(names)
        return groups

    def load_optimizer_state(
        self, model: nn.Module, optim_wrapper: OptimWrapper, state: dict
    ) -> None:
        saved = [len(group['params']) for group in state['param_groups']]
        own = [len(names) for names in self._names]
        if saved != own:
            raise ValueError(f'parameter groups of sizes {saved}, this run has {own}')
        groups = optim_wrapper.optimizer.param_groups
        for group, loaded in zip(groups, state['param_groups'], strict=True):
            group.update({key: value for key, value in loaded.items() if key != 'params'})
        if optim_wrapper.base_param_settings is not None and 'base_param_settings' in state:
            optim_wrapper.base_param_settings = dict(state['base_param_settings'])
        for index, shard in self._indexed(model):
            if index in state['state']:
                self._load_entry(shard, optim_wrapper.optimizer, state['state'][index])

    def _load_entry(
        self, shard: ParameterShard, optimizer: torch.optim.Optimizer, entry: dict
    ) -> None:
        own = optimizer.state[shard.holder]
        for key, value in entry.items():
            # A parameter without axes has moments of the same shape as the number of steps.
            if isinstance(value, Tensor) and value.shape == shard.shape and key != 'step':
                if key not in own:
                    own[key] = torch.zeros_like(shard.holder)
                shard.view(own[key]).copy_(shard.of(value))
            else:
                own[key] = value.clone() if isinstance(value, Tensor) else value


def _is_split(value: object, shard: ParameterShard) -> bool:
    """Whether a value of the optimiser's state has an element for each of the parameter."""
    return isinstance(value, Tensor) and value.shape == shard.holder.shape


def give_axes(model: nn.Module) -> frozenset[str]:
    """Give parameters without axes, as temperatures are, one axis of length 1, to be sharded along.

    Models compute the same with it, since it broadcasts.  Returns their names, for checkpoints that
    hold them as the author of the model made them.
    """
    scalars = {name: p for name, p in model.named_parameters() if not p.ndim}
    for parameter in scalars.values():
        # Through .data, so that the optimiser's groups keep the very same parameter.
        parameter.data = parameter.data.view(1)
    return frozenset(scalars)


def check_optimizer_files(name: str) -> str:
    """Return ``name`` if it is ``full`` or ``sharded``, else raise ValueError."""
    if name not in ('full', 'sharded'):
        raise ValueError(f'optimizer_state must be full or sharded, got {name!r}')
    return name
