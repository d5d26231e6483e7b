"""A config's model without its memory, and the steps traced on it."""

from collections.abc import Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode

from internvideo.models.tasks.pretraining.teachers import FrozenTeacher, cast_linear_maps
from internvideo.registry import MODELS
from internvideo.structures import VideoDataSample

from .step_trace import Flops, Moment, StepTrace, trace_prediction, trace_step
from .vocabularies import is_tokenizer

GPU_BACKENDS = ('auto', 'flash_attn')


def without_init(config: Any) -> Any:
    """``config`` that needs neither files nor a GPU, at any depth.

    Every ``init_cfg`` is None, no kernel needs a GPU, and no preprocessor has a tokenizer.
    """
    if isinstance(config, Mapping):
        cleaned = {key: without_init(item) for key, item in config.items()}
        if is_tokenizer((cleaned.get('data_preprocessor') or {}).get('tokenizer')):
            cleaned['data_preprocessor'] = None  # texts come as tokens
        if 'init_cfg' in cleaned:
            cleaned['init_cfg'] = None
        if cleaned.get('attn_backend') == 'flash_attn':
            cleaned['attn_backend'] = 'sdpa'
        if cleaned.get('fused') is True:
            cleaned['fused'] = 'auto'
        return cleaned
    if isinstance(config, list | tuple):
        return type(config)(without_init(item) for item in config)
    return config


def build_on_meta(config: Mapping[str, Any]) -> nn.Module:
    """The model of ``config`` on the meta device: names and sizes, no memory, no weights."""
    with torch.device('meta'):
        return MODELS.build(without_init(config))


def teachers_of(model: nn.Module) -> list[FrozenTeacher]:
    """Frozen teachers, which a model holds without their being its modules."""
    holders = [value for module in model.modules() for value in vars(module).values()]
    inner = [x for holder in holders if hasattr(holder, '__dict__') for x in vars(holder).values()]
    found = {id(x): x for x in (*holders, *inner) if isinstance(x, FrozenTeacher)}
    return list(found.values())


@dataclass(frozen=True)
class ClipShape:
    """One training item as the pipeline packs it, and the classes of its target if it has one."""

    views: int
    channels: int
    frames: int
    height: int
    width: int
    num_classes: int | None = None

    def batch(self, clips: int, dtype: torch.dtype = torch.float32) -> tuple[Tensor, list]:
        """Inputs (B, V, C, T, H, W) and data samples with soft targets."""
        shape = (clips, self.views, self.channels, self.frames, self.height, self.width)
        samples = [VideoDataSample() for _ in range(clips)]
        for sample in samples if self.num_classes else ():
            sample.gt_score = torch.empty(self.num_classes)
        return torch.empty(shape, dtype=dtype), samples


class BatchShape(Protocol):
    """What a batch of a training consists of; hashable."""

    def batch(self, clips: int, dtype: torch.dtype = torch.float32) -> tuple[Any, list]:
        """Inputs and data samples of ``clips`` items."""


class DryModel:
    """A model whose tensors are fake: it can be run, nothing is stored or computed.

    Args:
        config: config of the model.
        precision: ``amp`` (float32 weights, bfloat16 autocast), ``bf16`` (weights and activations
            in bfloat16) or ``fp32``.
    """

    def __init__(self, config: Mapping[str, Any], precision: str = 'amp') -> None:
        self.mode = FakeTensorMode()
        self._traces: dict[tuple[BatchShape, int], StepTrace] = {}
        self.autocast = torch.bfloat16 if precision == 'amp' else None
        self.dtype = torch.bfloat16 if precision == 'bf16' else torch.float32
        self.model = build_on_meta(config)
        self.teachers = teachers_of(self.model)
        for teacher in self.teachers:
            self._give_weights(teacher)
            self.model._targets_loaded = True
        with self.mode:
            self.model._apply(self._fake).train()
        for module in self.all_modules():
            if getattr(module, 'backend', None) in GPU_BACKENDS:
                module.backend = 'sdpa'  # what a GPU would take, in memory and operations

    def _fake(self, tensor: Tensor) -> Tensor:
        dtype = self.dtype if tensor.is_floating_point() else tensor.dtype
        return torch.empty(tensor.shape, dtype=dtype, device='cpu')

    def _give_weights(self, teacher: FrozenTeacher) -> None:
        if teacher.dtype is not None:
            cast_linear_maps(teacher.encoder, teacher.dtype)
        with self.mode:
            teacher.encoder._apply(lambda t: torch.empty(t.shape, dtype=t.dtype, device='cpu'))
        teacher._digest = 'dry'

    def all_modules(self) -> list[nn.Module]:
        """Modules of the model and of its teachers."""
        inner = [module for teacher in self.teachers for module in teacher.encoder.modules()]
        return [*self.model.modules(), *inner]

    @property
    def teacher_bytes(self) -> int:
        """Bytes of the teachers' weights."""
        tensors = [p for teacher in self.teachers for p in teacher.encoder.parameters()]
        return sum(p.numel() * p.element_size() for p in tensors)

    @contextmanager
    def _resident(self, trace: StepTrace) -> Any:
        handles = trace.watch(self.model, *(teacher.encoder for teacher in self.teachers))
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()
            self.model.zero_grad(set_to_none=True)

    def trace(self, shape: BatchShape, clips: int) -> StepTrace:
        """Trace a training step of ``clips`` items of ``shape``; the same step only once."""
        if (shape, clips) not in self._traces:
            self._traces[shape, clips] = self._trace(shape, clips)
        return self._traces[shape, clips]

    def _trace(self, shape: BatchShape, clips: int) -> StepTrace:
        trace = StepTrace()
        with self.mode, self._resident(trace):
            inputs, samples = shape.batch(clips, self.dtype)
            trace_step(trace, lambda: self.model(inputs, samples, mode='loss'), self.autocast)
        return trace

    def predict(self, shape: BatchShape, clips: int = 1) -> StepTrace:
        """Trace ``clips`` items of a test through the model; the same items only once.

        Raises what the model raises.
        """
        if (shape, -clips) not in self._traces:
            self.model.eval()
            trace = StepTrace()
            try:
                with self.mode, self._resident(trace):
                    inputs = shape.batch(clips, self.dtype)[0]
                    trace_prediction(trace, lambda: self.model(inputs), self.autocast)
            finally:
                self.model.train()
            self._traces[shape, -clips] = trace
        return self._traces[shape, -clips]


@dataclass(frozen=True)
class ActivationModel:
    """Bytes of a training step as a function of the clips in it, from traces of two sizes.

    The operations are the same for any number of clips, so each moment is a straight line.
    """

    clips: tuple[int, int]
    first: list[Moment]
    second: list[Moment]

    def at(self, clips: float) -> list[Moment]:
        """The moments of a step of ``clips`` clips."""
        share = (clips - self.clips[0]) / (self.clips[1] - self.clips[0])
        return [
            Moment(round(a.activations + share * (b.activations - a.activations)), a.gradients)
            for a, b in zip(self.first, self.second, strict=True)
        ]

    def peak(self, clips: float) -> int:
        """Largest number of bytes alive beside weights and gradients."""
        return max(moment.activations for moment in self.at(clips))


def model_activations(
    dry: DryModel, shape: BatchShape, clips: tuple[int, int] = (2, 4)
) -> tuple[ActivationModel, Flops]:
    """Activation bytes by clips, and the FLOPs of a step of one clip."""
    traces = [dry.trace(shape, count) for count in clips]
    per_clip = Flops(*(round(value / clips[0]) for value in vars(traces[0].flops).values()))
    return ActivationModel(clips, traces[0].moments, traces[1].moments), per_clip


def parameter_counts(model: nn.Module) -> tuple[int, int]:
    """(all, trainable) parameters."""
    sizes = [(p.numel(), p.requires_grad) for p in model.parameters()]
    return sum(n for n, _ in sizes), sum(n for n, trainable in sizes if trainable)


def largest_unit(model: nn.Module) -> int:
    """Parameters of the largest entry of a module list: what sharded training gathers at once."""
    lists = [m for m in model.modules() if isinstance(m, nn.ModuleList)]
    units = [sum(p.numel() for p in unit.parameters()) for blocks in lists for unit in blocks]
    return max(units, default=parameter_counts(model)[0])


def tokens_per_clip(model: nn.Module) -> int:
    """Patch tokens of a clip in the encoder's grid; 0 for a model without one."""
    steps, rows, columns = getattr(trunk_of(model), 'grid', (0, 0, 0))
    return steps * rows * columns


def trunk_of(model: nn.Module | None) -> nn.Module | None:
    """The encoder of clips, if the model has one."""
    return getattr(model, 'backbone', None) or getattr(model, 'vision_encoder', None)
