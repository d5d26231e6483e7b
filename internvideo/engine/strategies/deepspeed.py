"""DeepSpeed ZeRO as a strategy."""

import importlib
import os
from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from mmengine.optim import OptimWrapper
from torch import Tensor, nn

from internvideo.engine.optimizers.optim_wrappers import AmpOptimWrapper, NonFiniteError
from internvideo.engine.optimizers.optim_wrappers import OptimWrapper as GuardedOptimWrapper
from internvideo.engine.strategies.deepspeed_settings import deepspeed_config
from internvideo.engine.strategies.sharded import (
    ParameterShard,
    ShardedStrategy,
    check_optimizer_files,
    ensure_process_group,
)
from internvideo.registry import STRATEGIES

PRECISION = {torch.bfloat16: 'bf16', torch.float16: 'fp16'}
DTYPE = {'fp32': torch.float32, 'bf16': torch.bfloat16, 'fp16': torch.float16}


@STRATEGIES.register_module()
class DeepSpeed(ShardedStrategy):
    """ZeRO stages 0 to 3.

    Only training shards; testing puts the whole model on each process.  Accumulation and clipping
    are read from the optimiser wrapper, and its ``dtype``, if any, becomes the dtype of the weights
    that compute, beside float32 ones that the optimiser steps.

    Args:
        stage: 0 plain data parallel, 1 shards the optimiser, 2 the gradients too, 3 all.
        optimizer_state: ``full``: gathered into the checkpoint; ``sharded``: a file per process
            beside it (:mod:`internvideo.checkpoint.training_state.optimizer_shards`).
        **settings: Further arguments of
            :func:`~internvideo.engine.strategies.deepspeed_settings.deepspeed_config`.

    Raises:
        ImportError: DeepSpeed is not installed.
        ValueError: float16 on a CPU, a clipping that DeepSpeed does not know, stage 0 in
            another precision than float32.
    """

    def __init__(self, stage: int, optimizer_state: str = 'full', **settings: Any) -> None:
        self.optimizer_files = check_optimizer_files(optimizer_state)
        deepspeed_config(stage, **settings)  # names what is wrong before anything is built
        self.stage, self.settings = stage, settings
        self.replicated = stage == 0

    def wrap_model(self, model: nn.Module) -> nn.Module:
        if self.stage == 3:
            return model  # DeepSpeed moves it shard by shard
        return super().wrap_model(model)

    def prepare_training(
        self, model: nn.Module, optim_wrapper: OptimWrapper
    ) -> tuple[nn.Module, OptimWrapper]:
        deepspeed = _import_deepspeed(self.device.type)
        self.note_groups(model, optim_wrapper)
        self.prepare_shards(model, shards_weights=self.stage == 3)
        precision = PRECISION.get(getattr(optim_wrapper, 'dtype', None), 'fp32')
        if self.stage == 0 and precision != 'fp32':
            raise ValueError('DeepSpeed: stage 0 trains in float32 only; DDP serves as well')
        config = deepspeed_config(
            self.stage,
            world_size=self.world_size,
            accumulation=optim_wrapper._accumulative_counts,
            precision=precision,
            gradient_clipping=_largest_norm(optim_wrapper),
            on_cpu=self.device.type == 'cpu',
            **self.settings,
        )
        engine, *_ = deepspeed.initialize(
            model=model, optimizer=optim_wrapper.optimizer, config=config
        )
        return EngineModel(engine, DTYPE[precision]), EngineOptimWrapper(optim_wrapper, engine)

    def unwrap(self, model: nn.Module) -> nn.Module:
        return model.engine.module if isinstance(model, EngineModel) else model

    # --- shards ---------------------------------------------------------------------------------

    def shards(self, model: nn.Module) -> dict[str, ParameterShard]:
        find = (_whole, _stage_1_2, _stage_1_2, _stage_3)[self.stage]
        shards = {
            name: find(parameter, model.engine.optimizer)
            for name, parameter in self.unwrap(model).named_parameters()
            if parameter.requires_grad
        }
        scalars = {name: shards[name] for name in self._scalars & shards.keys()}
        return shards | {name: replace(p, shape=torch.Size()) for name, p in scalars.items()}

    def refresh_model(self, model: nn.Module) -> None:
        optimizer = model.engine.optimizer
        # The float32 copies that the optimiser steps have changed; what computes is another
        # tensor, which DeepSpeed itself writes only after a step.
        if self.stage in (1, 2):
            optimizer.update_lp_params()
        elif self.stage == 3:
            optimizer._partition_all_parameters()
            for index in range(len(optimizer.fp16_groups)):
                optimizer._reassign_or_swap_out_partitioned_parameters(index)
            # Small parameters are not freed between steps, so their whole copies are stale as well.
            kept = optimizer.persistent_parameters
            if kept:
                kept[0].all_gather(kept)

    def rest_state(self, model: nn.Module) -> Iterator[tuple[str, Tensor]]:
        own = self.unwrap(model)
        parameters = dict(own.named_parameters())
        for name, tensor in own.state_dict().items():
            parameter = parameters.get(name)
            # Read here, not from DeepSpeed's consolidated state, which drops frozen parameters at
            # stage 1.
            frozen = parameter is None or not parameter.requires_grad
            if frozen and name not in self._tied:
                with self._gathered(parameter, write=False):
                    whole = tensor if parameter is None else parameter
                    shape = torch.Size() if name in self._scalars else whole.shape
                    yield name, whole.detach().clone().view(shape)

    def load_rest(self, model: nn.Module, state: Mapping[str, Tensor]) -> None:
        own = self.unwrap(model)
        parameters = dict(own.named_parameters())
        for name, tensor in own.state_dict().items():
            if name in state:
                parameter = parameters.get(name)
                with self._gathered(parameter, write=True), torch.no_grad():
                    (tensor if parameter is None else parameter).copy_(state[name])

    def _gathered(self, parameter: nn.Parameter | None, write: bool) -> Any:
        """Context in which ``parameter`` is whole, and may be written to if ``write``."""
        import deepspeed

        sharded = [parameter] if hasattr(parameter, 'ds_id') else []
        modifier = 0 if write else None
        return deepspeed.zero.GatheredParameters(
            sharded, modifier_rank=modifier, enabled=bool(sharded)
        )

    def state_shapes(self, model: nn.Module) -> dict[str, torch.Size]:
        own = self.unwrap(model)
        parameters = dict(own.named_parameters(remove_duplicate=False))
        shapes = {}
        for name, tensor in own.state_dict().items():
            shape = getattr(parameters.get(name), 'ds_shape', tensor.shape)
            shapes[name] = torch.Size() if name in self._scalars else shape
        return shapes


def _whole(parameter: nn.Parameter, optimizer: Any) -> ParameterShard:
    return ParameterShard(parameter.shape, 0, parameter, lambda tensor: tensor.detach().reshape(-1))


def _stage_1_2(parameter: nn.Parameter, optimizer: Any) -> ParameterShard:
    """Range of a parameter that lies in this process's share of its group.

    Groups are flattened and cut into equal shares, wherever a parameter begins or ends.
    """
    mapping = parameter._hp_mapping
    if mapping is None:
        return _nothing(parameter.shape, optimizer.single_partition_of_fp32_groups[0])
    holder = optimizer.single_partition_of_fp32_groups[mapping.param_group_index]
    address = mapping.get_hp_fragment_address()
    start = mapping.lp_fragment_address.start
    return ParameterShard(
        parameter.shape, start, holder, partial(_narrow, start=address.start, size=address.numel)
    )


def _stage_3(parameter: nn.Parameter, optimizer: Any) -> ParameterShard:
    """Share of a parameter on this process, of equal size but for padding at the end."""
    group, offset, size = optimizer.grad_position[optimizer.get_param_id(parameter)]
    holder = optimizer.fp32_partitioned_groups_flat[group]
    shape = parameter.ds_shape
    start = size * optimizer._get_param_partition_rank(parameter)
    valid = min(size, shape.numel() - start)
    if valid <= 0:  # the share is padding alone
        return _nothing(shape, holder)
    return ParameterShard(shape, start, holder, partial(_narrow, start=offset, size=valid))


def _nothing(shape: torch.Size, holder: Tensor) -> ParameterShard:
    return ParameterShard(shape, 0, holder, partial(_narrow, start=0, size=0))


def _narrow(tensor: Tensor, start: int, size: int) -> Tensor:
    return tensor.detach().narrow(0, start, size)


def _import_deepspeed(device: str) -> Any:
    """Import DeepSpeed so that it joins our process group and builds no extension on a CPU."""
    ensure_process_group()
    rank, world_size = torch.distributed.get_rank(), torch.distributed.get_world_size()
    # Where these are missing it takes the job for one of MPI and imports mpi4py.
    for name, value in (('RANK', rank), ('LOCAL_RANK', 0), ('WORLD_SIZE', world_size)):
        os.environ.setdefault(name, str(value))
    if device == 'cpu':
        os.environ.setdefault('DS_ACCELERATOR', 'cpu')
    try:
        import deepspeed
    except ImportError as error:
        raise ImportError(
            'strategy DeepSpeed needs the package deepspeed: '
            'pip install --no-build-isolation -r requirements/deepspeed.txt'
        ) from error
    deepspeed.utils.logger.setLevel('WARNING')
    if device == 'cpu':
        # A shared-memory extension that takes 40 s to compile and speeds up one host alone.
        importlib.import_module('deepspeed.comm.torch').build_shm_op = lambda: None
    return deepspeed


def _largest_norm(optim_wrapper: OptimWrapper) -> float:
    options = dict(optim_wrapper.clip_grad_kwargs or {})
    largest = float(options.pop('max_norm', 0.0))
    if options.pop('norm_type', 2) != 2 or options:
        raise ValueError('DeepSpeed clips by the 2-norm only: clip_grad=dict(max_norm=...)')
    return largest


class EngineModel(nn.Module):
    """A model of ours whose forward passes go through a DeepSpeed engine.

    Args:
        engine: The engine; its module is an mmengine ``BaseModel``.
        dtype: Dtype of the weights; floating-point inputs are cast to it.
    """

    def __init__(self, engine: nn.Module, dtype: torch.dtype) -> None:
        super().__init__()
        self.engine, self.dtype = engine, dtype

    @property
    def module(self) -> nn.Module:
        """Model as its author wrote it."""
        return self.engine.module

    def train_step(self, data: Any, optim_wrapper: OptimWrapper) -> dict[str, Tensor]:
        """Take a training step, as mmengine's ``BaseModel.train_step`` does."""
        losses = self._run(self.module.data_preprocessor(data, True), 'loss')
        loss, logged = self.module.parse_losses(losses)
        optim_wrapper.update_params(loss)
        return logged

    def val_step(self, data: Any) -> Any:
        """Predict a batch, as mmengine's ``BaseModel.val_step`` does."""
        return self._run(self.module.data_preprocessor(data, False), 'predict')

    test_step = val_step

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Run the engine's forward pass."""
        return self.engine(*args, **kwargs)

    def _run(self, data: Any, mode: str) -> Any:
        data = self._cast(data)
        if isinstance(data, Mapping):
            return self.engine(**data, mode=mode)
        return self.engine(*data, mode=mode)

    def _cast(self, value: Any) -> Any:
        # Weights are bfloat16 without autocast: a float32 input would meet them in the first layer.
        if isinstance(value, Tensor) and value.is_floating_point():
            return value.to(self.dtype)
        if isinstance(value, Mapping):
            return {name: self._cast(item) for name, item in value.items()}
        if type(value) in (list, tuple):
            return type(value)(self._cast(item) for item in value)
        return value


class EngineOptimWrapper(GuardedOptimWrapper):
    """An optimiser wrapper whose accumulation, clipping and step are the engine's.

    Args:
        optim_wrapper: The wrapper that the config built.
        engine: The engine that took over its optimiser.
    """

    def __init__(self, optim_wrapper: OptimWrapper, engine: nn.Module) -> None:
        super().__init__(
            optim_wrapper.optimizer,
            optim_wrapper._accumulative_counts,
            max_nonfinite=getattr(optim_wrapper, 'max_nonfinite', 1),
        )
        self.engine = engine
        self._unguarded_fault = False
        scales = isinstance(optim_wrapper, AmpOptimWrapper) and optim_wrapper.scaler is not None
        self._may_overflow = scales

    def update_params(
        self, loss: Tensor, step_kwargs: dict | None = None, zero_kwargs: dict | None = None
    ) -> None:
        """Run the backward pass and, after the last batch of an accumulation, a finite step.

        A step with a loss or gradient that is not finite is skipped.

        Raises:
            NonFiniteError: after ``max_nonfinite`` of them in a row; float16 does not count, where
                overflow is how the scale is found.
        """
        # A loss that is not finite spoils the gradient, so that all processes skip the step.
        finite = torch.isfinite(loss.detach())
        self._fault = ~finite if self._fault is None else self._fault | ~finite
        self.engine.backward(loss * torch.where(finite, 1.0, float('nan')).to(loss))
        self._inner_count += 1
        if self.should_update():
            self._skip_unguarded()
        self.engine.step()
        if self.should_update():
            self._note_step()

    def _skip_unguarded(self) -> None:
        """Drop gradients that are not finite at stage 0, which has no check of its own."""
        if self.engine.zero_optimization():
            return
        gradients = [p.grad for p in self.engine.module.parameters() if p.grad is not None]
        norm = torch.nn.utils.get_total_norm(gradients)
        self._unguarded_fault = not bool(torch.isfinite(norm))
        if self._unguarded_fault:
            self.engine.module.zero_grad(set_to_none=True)

    def _note_step(self) -> None:
        self.fault_here, self._fault = bool(self._fault), None
        if self.engine.zero_optimization():
            fault = not self.engine.was_step_applied()
        else:
            fault = self._unguarded_fault
        if fault and not self._may_overflow:
            self._count_fault()
            return
        self.nonfinite_in_a_row = 0
        # The engine clips by itself, so that nobody else has logged the norm.
        norm = self.engine.get_global_grad_norm()
        if norm is not None:
            self.message_hub.update_scalar('train/grad_norm', float(norm))

    def _count_fault(self) -> None:
        self.nonfinite_in_a_row += 1
        if self.nonfinite_in_a_row >= self.max_nonfinite:
            times = f' {self.max_nonfinite} times in a row' if self.max_nonfinite > 1 else ''
            raise NonFiniteError(f'loss or gradient is not finite{times}; the step was not taken')
