"""A config's model without its memory, and the steps traced on it."""

import copy
import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from mmengine.model import BaseModel
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode

from internvideo.registry import MODELS

from .batches import BatchTemplate
from .parts import class_of
from .step_trace import Flops, Moment, StepTrace, trace_prediction, trace_step

GPU_BACKENDS = ('auto', 'flash_attn')
NUMBERS_WANTED = (
    'DataDependentOutput', 'DynamicOutputShape', 'UnsupportedOperator', 'UnsupportedFakeTensor',
    'FakeTensor', 'fake tensor', 'meta tensor', 'meta device', 'device meta', 'device(type=\'meta',
    'Cannot copy out of', 'data is not allocated', '.numpy()', 'GuardOnDataDependent', 'numpy',
    '_local_scalar_dense', 'data pointer',
)  # fmt: skip
"""What is said by errors of code that asks for numbers, where a trace has only shapes."""


def wants_numbers(error: BaseException) -> bool:
    """Whether code failed because it asks tensors for numbers, not because of a fault."""
    text = f'{type(error).__name__} {error}'
    return any(word in text for word in NUMBERS_WANTED)


def without_init(config: Any) -> Any:
    """``config`` that needs neither files nor a GPU, at any depth.

    Every ``init_cfg`` is None, no kernel needs a GPU, and no preprocessor has a tokenizer.
    """
    if isinstance(config, Mapping):
        cleaned = {key: without_init(item) for key, item in config.items()}
        preprocessor = cleaned.get('data_preprocessor')
        if isinstance(preprocessor, Mapping) and isinstance(preprocessor.get('tokenizer'), Mapping):
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


def build_on_meta(config: Mapping[str, Any], preprocessor: nn.Module | None = None) -> nn.Module:
    """The model of ``config`` on the meta device: names and sizes, no memory, no weights.

    Args:
        config: of the model.
        preprocessor: stands for the one that the config describes, with numbers.

    Raises what the model raises.
    """
    config = without_init(config)
    if preprocessor is not None:
        config['data_preprocessor'] = preprocessor
    try:
        with torch.device('meta'):
            return MODELS.build(config)
    except Exception as error:
        if not wants_numbers(error):
            raise
    with _meta_parameters():  # the constructor computes something: only parameters are spared
        return MODELS.build(config)


@contextmanager
def _meta_parameters() -> Iterator[None]:
    """Move parameters to the meta device as modules register them."""
    register = nn.Module.register_parameter

    def spared(module: nn.Module, name: str, parameter: nn.Parameter | None) -> None:
        if parameter is not None and parameter.device.type != 'meta':
            parameter = nn.Parameter(parameter.to('meta'), parameter.requires_grad)
        register(module, name, parameter)

    nn.Module.register_parameter = spared
    try:
        yield
    finally:
        nn.Module.register_parameter = register


def forward_on(model: nn.Module, batch: Any, mode: str) -> Any:
    """Call a model as training and tests do."""
    if isinstance(batch, Mapping):
        return model(**batch, mode=mode)
    if isinstance(batch, list | tuple):
        return model(*batch, mode=mode)
    return model(batch, mode=mode)


def has_own_step(model: nn.Module) -> bool:
    """Whether training does not go by mode ``loss`` of a model."""
    own = getattr(type(model), 'train_step', BaseModel.train_step)
    return own is not BaseModel.train_step


class FakeModel:
    """A model whose tensors are fake: it can be run, nothing is stored or computed.

    Args:
        config: config of the model.
        precision: ``amp`` (float32 weights, bfloat16 autocast), ``bf16`` (weights and activations
            in bfloat16) or ``fp32``.
        preprocessor: config of a preprocessor of batches that works; None: the model's own.

    Raises what building the model raises.
    """

    def __init__(
        self,
        config: Mapping[str, Any],
        precision: str = 'amp',
        preprocessor: Mapping[str, Any] | None = None,
    ) -> None:
        self.config = config
        # It logs a traceback for what the rehearsal reports as a fault in one line.
        logging.getLogger(FakeTensorMode.__module__).setLevel(logging.CRITICAL)
        self.mode = FakeTensorMode()
        self._traces: dict[tuple[BatchTemplate, int], StepTrace] = {}
        self.autocast = torch.bfloat16 if precision == 'amp' else None
        self.dtype = torch.bfloat16 if precision == 'bf16' else torch.float32
        built = MODELS.build(dict(preprocessor)) if preprocessor else None
        self.model = build_on_meta(config, built)
        # A copy with real tensors: batches are preprocessed for real, before the model becomes
        # fake.
        self.preprocessor = copy.deepcopy(getattr(self.model, 'data_preprocessor', None))
        self.teachers = list(getattr(self.model, 'frozen_teachers', {}).values())
        for teacher in self.teachers:
            teacher.become_fake(self._fake_alike)
        with self.mode:
            # Fake tensors say that they lie on the CPU: code that asks for a device, as autocast
            # does, runs.
            self.model._apply(self._fake).train()
            self._fake_attributes()
        if hasattr(self.model, 'skip_loading'):
            self.model.skip_loading()
        for module in self.all_modules():
            if getattr(module, 'backend', None) in GPU_BACKENDS:
                module.backend = 'sdpa'  # what a GPU would take, in memory and operations

    def _fake_alike(self, tensor: Tensor) -> Tensor:
        with self.mode:
            return torch.empty(tensor.shape, dtype=tensor.dtype, device='cpu')

    def _fake(self, tensor: Tensor) -> Tensor:
        dtype = self.dtype if tensor.is_floating_point() else tensor.dtype
        return torch.empty(tensor.shape, dtype=dtype, device='cpu')

    def _fake_attributes(self) -> None:
        """Tensors that modules keep without registering them."""
        for module in self.model.modules():
            for name, value in vars(module).items():
                if isinstance(value, Tensor):
                    setattr(module, name, self._fake(value))

    def all_modules(self) -> list[nn.Module]:
        """Modules of the model and of its teachers."""
        inner = [module for teacher in self.teachers for module in teacher.encoder.modules()]
        return [*self.model.modules(), *inner]

    @property
    def teacher_bytes(self) -> int:
        """Bytes of the teachers' weights."""
        tensors = [p for teacher in self.teachers for p in teacher.encoder.parameters()]
        return sum(p.numel() * p.element_size() for p in tensors)

    def prepare(self, batch: Any, is_training: bool) -> Any:
        """Preprocess a batch with texts as long as they can be.

        Raises:
            ValueError: nothing of the batch can be read.
        """
        inputs = batch.get('inputs', 0) if isinstance(batch, Mapping) else 0
        if inputs is None:
            reasons = [sample.get('unreadable') for sample in batch['data_samples']]
            raise ValueError(f'generated media cannot be read: {reasons[0]}')
        if self.preprocessor is not None:
            batch = self.preprocessor(batch, is_training)
            if hasattr(self.preprocessor, 'longest_inputs'):
                batch['inputs'] = self.preprocessor.longest_inputs(batch['inputs'], is_training)
        part_class = class_of(self.config.get('type'), MODELS)
        if hasattr(part_class, 'traced_samples') and isinstance(batch, Mapping):
            part_class.traced_samples(self.config, batch.get('data_samples') or [])
        return batch

    @contextmanager
    def _resident(self, trace: StepTrace) -> Any:
        handles = trace.watch(self.model, *(teacher.encoder for teacher in self.teachers))
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()
            self.model.zero_grad(set_to_none=True)

    def trace(self, template: BatchTemplate, items: int) -> StepTrace:
        """Trace a training step of ``items`` items, each kind of step only once."""
        if (template, items) not in self._traces:
            self._traces[template, items] = self._trace(template, items)
        return self._traces[template, items]

    def _trace(self, template: BatchTemplate, items: int) -> StepTrace:
        trace = StepTrace()
        with self.mode, self._resident(trace):
            batch = template.batch(items, self.dtype)
            # forward() rather than train_step(), which wants an optimiser.
            trace_step(trace, lambda: forward_on(self.model, batch, 'loss'), self.autocast)
        return trace

    def predict(self, template: BatchTemplate, items: int = 1) -> StepTrace:
        """Trace ``items`` items of a test through the model, each kind only once.

        Raises what the model raises.
        """
        # The same cache as for training; a negative number of items marks a test.
        if (template, -items) not in self._traces:
            mode = getattr(self.model, 'traced_mode', 'predict')
            self.model.eval()
            trace = StepTrace()
            try:
                with self.mode, self._resident(trace):
                    batch = template.batch(items, self.dtype)
                    trace_prediction(
                        trace, lambda: forward_on(self.model, batch, mode), self.autocast
                    )
            finally:
                self.model.train()
            self._traces[template, -items] = trace
        return self._traces[template, -items]


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
    fake: FakeModel, template: BatchTemplate, clips: tuple[int, int] = (2, 4)
) -> tuple[ActivationModel, Flops]:
    """Activation bytes by clips, and the FLOPs of a step of one clip."""
    traces = [fake.trace(template, count) for count in clips]
    activations = ActivationModel(clips, traces[0].moments, traces[1].moments)
    return activations, traces[0].flops.of_each(clips[0])


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
    """Patch tokens of a clip in the encoder's grid, or 0 for a model without one."""
    steps, rows, columns = getattr(video_encoder_of(model), 'grid', (0, 0, 0))
    return steps * rows * columns


def video_encoder_of(model: nn.Module | None) -> nn.Module | None:
    """The encoder of clips, if the model has one."""
    for name in ('video_encoder', 'backbone', 'vision_encoder'):
        found = getattr(model, name, None)
        if isinstance(found, nn.Module):
            return found
    return None
