"""State of models whose weights and optimiser live in parts, one part on each process."""

from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from types import MappingProxyType

import torch
import torch.distributed as dist
from mmengine.optim import OptimWrapper
from torch import Tensor, nn

from internvideo.engine.strategies.strategy import (
    Strategy,
    check_same_layout,
    tied_names,
    with_tied,
)
from internvideo.engine.strategies.twin import empty, fill, hollow_copy, share_attributes


def ensure_process_group() -> None:
    """A group of this process alone, where no launcher made one."""
    if dist.is_initialized():
        return
    backend = 'nccl' if torch.cuda.is_available() else 'gloo'
    dist.init_process_group(backend, store=dist.HashStore(), rank=0, world_size=1)


@dataclass(frozen=True)
class Part:
    """The elements of one trainable parameter that this process steps, in float32.

    ``holder`` is the tensor that the optimiser knows; ``view`` finds the part's elements in a
    tensor shaped like it, as one axis that shares its memory; ``start`` is the position of the
    first of them in the flattened parameter of ``shape``.
    """

    shape: torch.Size
    start: int
    holder: Tensor
    view: Callable[[Tensor], Tensor]

    @property
    def weight(self) -> Tensor:
        """The part itself."""
        return self.view(self.holder)

    def of(self, full: Tensor) -> Tensor:
        """The same elements of a whole tensor, which may live elsewhere."""
        weight = self.weight
        return full.reshape(-1)[self.start : self.start + weight.numel()].to(weight)


class ShardedStrategy(Strategy):
    """Takes whole checkpoints out of parts, and parts out of whole checkpoints.

    A checkpoint is the one that a single process would write, so it can be resumed under another
    strategy or another number of processes.  Tensors are gathered one at a time: rank 0 needs
    main memory for the whole state, a device memory for the largest tensor.  An evaluation while
    training gathers the float32 weights on every device, and lets go of them afterwards.

    A subclass says which parts it has and how it keeps what is not trained.
    """

    copies_state = True
    replicated = False
    optimizer_files = 'full'
    _names: list[list[str]]
    _tied: Mapping[str, str] = MappingProxyType({})
    _scalars: frozenset[str] = frozenset()
    _twin: nn.Module | None = None

    @abstractmethod
    def parts(self, model: nn.Module) -> dict[str, Part]:
        """This process's part of each trainable parameter; it may be empty."""

    @abstractmethod
    def publish(self, model: nn.Module) -> None:
        """Make forward passes see the parts after they were written to."""

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
        """Whole shape of everything in the model's state, in the model's order."""

    def note_groups(self, model: nn.Module, optim_wrapper: OptimWrapper) -> None:
        """Remember names, of each parameter group and tied ones, before parameters become parts."""
        self._tied = tied_names(model)
        names = {id(parameter): name for name, parameter in model.named_parameters()}
        self._names = [
            [names[id(parameter)] for parameter in group['params']]
            for group in optim_wrapper.optimizer.param_groups
        ]

    def prepare_parts(self, model: nn.Module, shards_weights: bool = True) -> None:
        """Keep what sharding would lose: a twin for evaluations, and the shape of scalars."""
        self._twin = hollow_copy(model) if shards_weights else None
        self._scalars = give_axes(model)

    @contextmanager
    def evaluated(self, model: nn.Module) -> Iterator[nn.Module]:
        if self._twin is None:
            yield model
            return
        twin = self._twin.to(self.device)
        share_attributes(self.unwrap(model), twin)
        for name, part in self.parts(model).items():
            fill(twin, name, self._assemble(part, part.weight, everywhere=True))
        for name, tensor in self.rest_state(model):
            fill(twin, name, tensor)
        try:
            yield twin
        finally:
            empty(twin)

    def gather(self, parts: Mapping[str, Part], values: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Whole tensors on rank 0, in main memory, of ``values`` that lie as ``parts`` do."""
        gathered = {}
        for name, part in parts.items():
            whole = self._gather_one(part, values[name])
            if self.rank == 0:
                gathered[name] = whole
        return gathered

    def _gather_one(self, part: Part, value: Tensor) -> Tensor:
        return self._assemble(part, value).cpu()

    def _assemble(self, part: Part, value: Tensor, everywhere: bool = False) -> Tensor:
        """The whole tensor, on rank 0 or on every one, of whose elements this process has some."""
        whole = torch.zeros(part.shape.numel(), dtype=torch.float32, device=self.device)
        if self.rank == 0 or not self.replicated:
            whole[part.start : part.start + value.numel()] = value
        if self.world_size > 1 and not self.replicated:
            bits = whole.view(torch.int32)  # as integers: adding zeros keeps every bit
            if everywhere:
                dist.all_reduce(bits)
            else:
                dist.reduce(bits, 0)
        return whole.view(part.shape)

    def model_state(self, model: nn.Module) -> dict[str, Tensor]:
        parts = self.parts(model)
        state = self.gather(parts, {name: part.weight for name, part in parts.items()})
        state.update((name, tensor.detach().cpu()) for name, tensor in self.rest_state(model))
        state = with_tied(state, self._tied)
        return {name: state[name] for name in self.state_shapes(model) if name in state}

    def load_model_state(self, model: nn.Module, state: Mapping[str, Tensor], source: str) -> None:
        shapes = self.state_shapes(model)
        own = {name: torch.empty(shape, device='meta') for name, shape in shapes.items()}
        check_same_layout(own, state, source)
        parts = self.parts(model)
        for name, part in parts.items():
            part.weight.copy_(part.of(state[name]))
        done = parts.keys() | self._tied.keys()
        self.load_rest(model, {n: tensor for n, tensor in state.items() if n not in done})
        self.publish(model)

    def owned_weights(self, model: nn.Module) -> dict[str, Tensor]:
        return {name: part.weight for name, part in self.parts(model).items()}

    def exchange_weights(self, model: nn.Module, values: Mapping[str, Tensor]) -> None:
        super().exchange_weights(model, values)
        self.publish(model)

    def gather_owned(self, model: nn.Module, values: Mapping[str, Tensor]) -> dict[str, Tensor]:
        return with_tied(self.gather(self.parts(model), values), self._tied)

    def take_owned(self, model: nn.Module, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        parts = self.parts(model)
        return {name: part.of(state[name]).clone() for name, part in parts.items()}

    def optimizer_state(self, model: nn.Module, optim_wrapper: OptimWrapper) -> dict:
        gathered = dict(param_groups=self._plain_groups(optim_wrapper))
        if self.optimizer_files == 'sharded':
            gathered['shards'] = self.world_size
        else:
            state = {
                index: self._gather_state(part, optim_wrapper.optimizer)
                for index, part in self._indexed(model)
            }
            gathered['state'] = {index: entry for index, entry in state.items() if entry}
        base = optim_wrapper.base_param_settings  # mmengine logs the rate of this pseudo group
        return gathered if base is None else dict(gathered, base_param_settings=base)

    def _indexed(self, model: nn.Module) -> list[tuple[int, Part]]:
        """The parts, numbered as an optimiser's state dict numbers its parameters."""
        parts = self.parts(model)
        return list(enumerate(parts[name] for group in self._names for name in group))

    def optimizer_shard(self, model: nn.Module, optim_wrapper: OptimWrapper) -> dict | None:
        if self.optimizer_files != 'sharded':
            return None
        shard = {}
        for index, part in self._indexed(model):
            state = optim_wrapper.optimizer.state.get(part.holder, {})
            if not state or not part.weight.numel():
                continue
            split = {key for key, value in state.items() if _is_split(value, part)}
            shard[index] = dict(
                shape=tuple(part.shape),
                start=part.start,
                parts={key: part.view(state[key]).to('cpu', copy=True) for key in split},
                scalars={key: value for key, value in state.items() if key not in split},
            )
        return shard

    def _gather_state(self, part: Part, optimizer: torch.optim.Optimizer) -> dict:
        entry = {}
        for key, value in optimizer.state.get(part.holder, {}).items():
            if _is_split(value, part):
                entry[key] = self._gather_one(part, part.view(value))
            else:
                entry[key] = value.clone() if isinstance(value, Tensor) else value
        return entry

    def _plain_groups(self, optim_wrapper: OptimWrapper) -> list[dict]:
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
        for index, part in self._indexed(model):
            if index in state['state']:
                self._load_entry(part, optim_wrapper.optimizer, state['state'][index])

    def _load_entry(self, part: Part, optimizer: torch.optim.Optimizer, entry: dict) -> None:
        own = optimizer.state[part.holder]
        for key, value in entry.items():
            # A parameter without axes has moments that look like the number of steps.
            if isinstance(value, Tensor) and value.shape == part.shape and key != 'step':
                if key not in own:
                    own[key] = torch.zeros_like(part.holder)
                part.view(own[key]).copy_(part.of(value))
            else:
                own[key] = value.clone() if isinstance(value, Tensor) else value


def _is_split(value: object, part: Part) -> bool:
    """Whether a value of the optimiser's state has an element for each of the parameter."""
    return isinstance(value, Tensor) and value.shape == part.holder.shape


def give_axes(model: nn.Module) -> frozenset[str]:
    """Give parameters without axes, as temperatures are, one of length 1: shards need an axis.

    Models compute the same with it, since it broadcasts.  Returns their names, for checkpoints that
    hold them as the author of the model made them.
    """
    scalars = {name: p for name, p in model.named_parameters() if not p.ndim}
    for parameter in scalars.values():
        parameter.data = parameter.data.view(1)
    return frozenset(scalars)


def check_optimizer_files(name: str) -> str:
    """``name`` if it is ``full`` or ``sharded``, else ValueError."""
    if name not in ('full', 'sharded'):
        raise ValueError(f'optimizer_state must be full or sharded, got {name!r}')
    return name
