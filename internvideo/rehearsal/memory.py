"""Bytes on one GPU while training, for each way of spreading a model over processes."""

import math
from dataclasses import dataclass
from typing import Any

from .fake_model import ActivationModel
from .hardware import usable_memory

FULL, HALF = 4, 2
"""Bytes of a float32 and of a bfloat16 number."""
ADAM_STATES = 2

OPTIMIZER_STATES = {'AdamW': 2, 'Adam': 2, 'SGD': 0, 'Adagrad': 1, 'RMSprop': 1}
"""Float32 numbers that an optimiser keeps per parameter (SGD: one more with momentum)."""


@dataclass(frozen=True)
class Layout:
    """Memory layout of a strategy.

    Attributes:
        name: as ``_base_/strategies`` files are called.
        precision: ``amp``: float32 weights under autocast; ``bf16``: bfloat16 weights and
            activations with a float32 master copy beside the optimiser's state; ``fsdp``: float32
            shards, gathered and computed with in bfloat16.
        shard_params, shard_grads, shard_optimizer: spread over processes rather than copied.
        offload: optimiser state in the host's memory.
        needs_group: makes sense with several processes only.
    """

    name: str
    precision: str = 'bf16'
    shard_params: bool = False
    shard_grads: bool = False
    shard_optimizer: bool = False
    offload: bool = False
    needs_group: bool = True

    @property
    def trace_precision(self) -> str:
        """Precision of the traced step that gives its activations."""
        return 'amp' if self.precision == 'amp' else 'bf16'


LAYOUTS = {
    layout.name: layout
    for layout in (
        Layout('single', 'amp', needs_group=False),
        Layout('ddp', 'amp'),
        Layout('deepspeed_zero1', shard_optimizer=True),
        Layout('deepspeed_zero2', shard_optimizer=True, shard_grads=True),
        Layout('deepspeed_zero3', shard_optimizer=True, shard_grads=True, shard_params=True),
        Layout(
            'deepspeed_zero3_offload',
            shard_optimizer=True,
            shard_grads=True,
            shard_params=True,
            offload=True,
        ),
        Layout('fsdp', 'fsdp', shard_optimizer=True, shard_grads=True, shard_params=True),
    )
}


def layout_of(strategy: Any, world_size: int) -> Layout:
    """The layout of a config's ``strategy``.

    Raises:
        ValueError: a strategy whose memory is not modelled.
    """
    config = dict(type=strategy) if isinstance(strategy, str) else dict(strategy or {})
    kind = config.get('type', 'auto')
    # As engine.runner.automatic_strategy chooses where there are GPUs and DeepSpeed is installed.
    if kind == 'auto' and config.get('zero') and world_size > 1:
        kind, config = 'DeepSpeed', dict(config['zero'])
    if kind == 'auto':
        return LAYOUTS['single' if world_size == 1 else 'ddp']
    if 'DeepSpeed' in kind:
        stage = config.get('stage', 0)
        offloads = stage == 3 and config.get('offload_optimizer')
        name = f'deepspeed_zero{stage}' + ('_offload' if offloads else '')
        # ZeRO stage 0 is plain data parallel.
        return LAYOUTS['ddp' if stage == 0 else name]
    known = dict(SingleDevice='single', DDP='ddp', FSDP='fsdp')
    if kind not in known:
        raise ValueError(f'strategy {kind} has no memory model; known: auto, DeepSpeed, {known}')
    return LAYOUTS[known[kind]]


@dataclass(frozen=True)
class ModelSizes:
    """Numbers of parameters that decide memory.

    Attributes:
        total, trainable: all, and those with gradients.
        unit: of the largest block that sharded training gathers at once.
        group: trainable ones in the largest parameter group, for the optimiser's scratch.
        states: float32 numbers an optimiser keeps per trainable parameter.
        ema: whether a moving average is kept.
        constant: bytes of frozen models beside it (teachers), whole on every process.
        validates: whether training is interrupted by validations.
    """

    total: int
    trainable: int
    unit: int
    group: int
    states: int = ADAM_STATES
    ema: bool = False
    constant: int = 0
    validates: bool = False


@dataclass(frozen=True)
class StaticBytes:
    """Bytes of one process that do not depend on the batch.

    Attributes:
        params, grads, optimizer: as they say; master weights count as optimiser.
        buffers: communication buckets, gathered blocks, the moving average and teachers.
        scratch: needed during the optimiser's step only.
        validation: float32 weights that sharded training gathers for a validation, and only then.
    """

    params: int
    grads: int
    optimizer: int
    buffers: int
    scratch: int
    validation: int = 0

    @property
    def held(self) -> int:
        """Bytes there all the time (gradients are not)."""
        return self.params + self.optimizer + self.buffers


def static_bytes(
    layout: Layout, sizes: ModelSizes, world_size: int, bucket: int = 500_000_000
) -> StaticBytes:
    """Bytes that ``layout`` keeps on each of ``world_size`` processes.

    Args:
        layout: the strategy.
        sizes: the model.
        world_size: processes.
        bucket: elements of DeepSpeed's reduction bucket (its default; a model smaller than it
            fills only its own size).
    """
    shard = {flag: world_size if flag else 1 for flag in (True, False)}
    # The moving average is float32 whatever the weights are: in bfloat16 it would stand still.
    aside = sizes.constant + (FULL * sizes.trainable if sizes.ema else 0)
    if layout.precision == 'amp':
        return StaticBytes(
            params=FULL * sizes.total,
            grads=FULL * sizes.trainable,
            optimizer=FULL * sizes.states * sizes.trainable,
            # DDP reduces gradients in buckets of its own, together as large as the gradients.
            buffers=aside + (FULL * sizes.trainable if layout.name == 'ddp' else 0),
            scratch=FULL * sizes.group,
        )
    width = FULL if layout.precision == 'fsdp' else HALF
    # DeepSpeed keeps a float32 master copy; FSDP's shards are float32 themselves.
    master = 0 if layout.precision == 'fsdp' else FULL
    optimizer = math.ceil(
        (master + FULL * sizes.states) * sizes.trainable / shard[layout.shard_optimizer]
    )
    return StaticBytes(
        params=math.ceil(width * sizes.total / shard[layout.shard_params]),
        grads=math.ceil(width * sizes.trainable / shard[layout.shard_grads]),
        optimizer=0 if layout.offload else optimizer,
        buffers=aside + _transfer_buffers(layout, sizes, bucket),
        scratch=0 if layout.offload else math.ceil(FULL * sizes.trainable / world_size),
        validation=FULL * sizes.total if layout.shard_params and sizes.validates else 0,
    )


def _transfer_buffers(layout: Layout, sizes: ModelSizes, bucket: int) -> int:
    gathered = 2 * HALF * sizes.unit if layout.shard_params else 0  # one in use, one on its way
    if layout.precision == 'fsdp':
        return gathered + HALF * sizes.unit
    return gathered + HALF * min(bucket, sizes.trainable)


def step_peak(
    static: StaticBytes,
    activations: ActivationModel,
    clips: float,
    accumulates: bool = False,
) -> int:
    """Largest number of bytes of one process in a training step, or between steps.

    Args:
        static: what the strategy keeps.
        activations: of the traced step, in the layout's precision.
        clips: clips of one forward pass.
        accumulates: gradients of earlier batches are there when the forward pass begins.
    """
    moments = activations.at(clips)
    whole = moments[-1].gradients or 1
    # The traced gradients are whole and in the traced dtype; a strategy holds a share of them.
    share = static.grads / whole
    in_pass = max(
        m.activations + (static.grads if accumulates else share * m.gradients) for m in moments
    )
    # Activations have gone by then: the optimiser's scratch never meets their peak.
    in_step = static.grads + static.scratch
    return static.held + math.ceil(max(in_pass, in_step, static.validation))


def most_clips(
    static: StaticBytes, activations: ActivationModel, memory: int, accumulates: bool = False
) -> int:
    """Clips of the largest forward pass that a GPU of ``memory`` bytes can train on, or 0."""
    room = usable_memory(memory)

    def fits(clips: int) -> bool:
        return step_peak(static, activations, clips, accumulates) <= room

    if not fits(1):
        return 0
    low, high = 1, 2
    # Memory grows with the number of clips, so doubling and then halving finds the limit.
    while fits(high) and high < 1 << 20:
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    return low
