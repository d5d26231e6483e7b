"""Fully sharded data parallel training through torch's ``fully_shard``."""

from collections.abc import Iterator, Mapping

import torch
from mmengine.optim import OptimWrapper
from torch import Tensor, nn

from internvideo.engine.strategies.sharded import (
    ParameterShard,
    ShardedStrategy,
    check_optimizer_files,
    ensure_process_group,
)
from internvideo.registry import STRATEGIES


@STRATEGIES.register_module()
class FSDP(ShardedStrategy):
    """``torch.distributed.fsdp.fully_shard`` over all processes, on GPUs (nccl) or CPUs (gloo).

    Each element of a ``ModuleList`` (a transformer block) is gathered when it computes and freed
    after; what remains of the model is one more such unit.  Only training shards; testing puts
    the whole model on each process.

    Args:
        param_dtype: Gather and compute in this dtype (``bfloat16``) while shards and optimiser
            stay float32; None: float32, with autocast as the optimiser wrapper says.
        reduce_dtype: Dtype of the gradient exchange; None: that of the gradients.
        cpu_offload: Keep shards and optimiser in main memory.
        min_unit_size: Blocks with fewer parameters are gathered with what surrounds them.
        optimizer_state: ``full``: gathered into the checkpoint; ``sharded``: a file per process
            beside it (:mod:`internvideo.checkpoint.training_state.optimizer_shards`).
    """

    def __init__(
        self,
        param_dtype: str | None = None,
        reduce_dtype: str | None = None,
        cpu_offload: bool = False,
        min_unit_size: int = 0,
        optimizer_state: str = 'full',
    ) -> None:
        self.optimizer_files = check_optimizer_files(optimizer_state)
        self.param_dtype, self.reduce_dtype = param_dtype, reduce_dtype
        self.cpu_offload, self.min_unit_size = cpu_offload, min_unit_size

    def prepare_training(
        self, model: nn.Module, optim_wrapper: OptimWrapper
    ) -> tuple[nn.Module, OptimWrapper]:
        ensure_process_group()
        self.note_groups(model, optim_wrapper)
        self.prepare_shards(model)
        self._shard(model)
        # fully_shard replaces parameters by new ones (DTensors) that the optimiser, which the
        # config built before, does not know.
        parameters = dict(model.named_parameters())
        for group, names in zip(optim_wrapper.optimizer.param_groups, self._names, strict=True):
            group['params'] = [parameters[name] for name in names]
        return model, optim_wrapper

    def _shard(self, model: nn.Module) -> None:
        from torch.distributed.fsdp import fully_shard

        options = self._options()
        for unit in self._units(model):
            fully_shard(unit, **options)
        # By default the root keeps its weights gathered after a forward pass; freed, a name leads
        # to a shard whenever state is read between steps.
        fully_shard(model, **options, reshard_after_forward=True)

    def _options(self) -> dict:
        from torch.distributed.device_mesh import init_device_mesh
        from torch.distributed.fsdp import CPUOffloadPolicy, MixedPrecisionPolicy

        dtypes = dict(param_dtype=self.param_dtype, reduce_dtype=self.reduce_dtype)
        named = {name: getattr(torch, dtype) for name, dtype in dtypes.items() if dtype}
        options = dict(
            mesh=init_device_mesh(self.device.type, (self.world_size,)),
            mp_policy=MixedPrecisionPolicy(**named),
        )
        return dict(options, offload_policy=CPUOffloadPolicy()) if self.cpu_offload else options

    def _units(self, model: nn.Module) -> Iterator[nn.Module]:
        for module in model.modules():
            if isinstance(module, nn.ModuleList):
                for block in module:
                    # A table that the blocks share must be a unit of its own: as a part of the
                    # block that holds it, it would be gathered while that one computes, no other.
                    yield from (m for m in block.modules() if isinstance(m, nn.Embedding))
                    size = sum(parameter.numel() for parameter in block.parameters())
                    if size and size >= self.min_unit_size:
                        yield block

    def shards(self, model: nn.Module) -> dict[str, ParameterShard]:
        return {
            name: ParameterShard(self._shape(name, parameter), _start(parameter), parameter, _local)
            for name, parameter in model.named_parameters()
            if parameter.requires_grad
        }

    def _shape(self, name: str, tensor: Tensor) -> torch.Size:
        return torch.Size() if name in self._scalars else tensor.shape

    def refresh_model(self, model: nn.Module) -> None:
        """Do nothing, since the shards are the weights."""

    def rest_state(self, model: nn.Module) -> Iterator[tuple[str, Tensor]]:
        trained = {name for name, p in model.named_parameters() if p.requires_grad}
        for name, tensor in model.state_dict().items():
            if name not in trained and name not in self._tied:
                whole = tensor.full_tensor() if hasattr(tensor, 'full_tensor') else tensor
                yield name, whole.view(self._shape(name, tensor))

    def load_rest(self, model: nn.Module, state: Mapping[str, Tensor]) -> None:
        for name, tensor in model.state_dict().items():
            if name not in state:
                continue
            if hasattr(tensor, 'full_tensor'):
                shard = ParameterShard(tensor.shape, _start(tensor), tensor, _local)
                shard.weight.copy_(shard.of(state[name]))
            else:
                tensor.copy_(state[name])

    def state_shapes(self, model: nn.Module) -> dict[str, torch.Size]:
        return {name: self._shape(name, tensor) for name, tensor in model.state_dict().items()}


def _local(tensor: Tensor) -> Tensor:
    """Rows of this process, flat, of a tensor that is sharded along its first axis."""
    return tensor.detach().to_local().reshape(-1)


def _start(tensor: Tensor) -> int:
    """Position of the first local element in the flattened whole."""
    # torch.chunk's rule: equal shares rounded up, so that the last processes may have fewer rows
    # or none.
    rows, mesh = tensor.shape[0], tensor.device_mesh
    per_process = -(-rows // mesh.size())
    first = min(per_process * mesh.get_local_rank(), rows)
    return first * (tensor.numel() // rows)
