"""Limits of training on many GPUs by formulae: communication, loading, checkpoints.

Times are lower bounds of what a ring or a tree of links needs, without latency; what can hide
behind computation is said where it can.
"""

from dataclasses import dataclass

from .hardware import GB, Gpu
from .memory import FULL, HALF, LAYOUTS, ModelSizes, static_bytes

DISK_RATE = 2 * GB
"""Bytes a second that one node writes to a parallel file system."""
DECODED_CLIPS_PER_CORE = 9.0
"""Clips of eight frames a second and core: 448x336 videos of ten seconds."""


def ring_share(world_size: int) -> float:
    """Share of a tensor that each process sends to gather it, or to reduce and scatter it."""
    return (world_size - 1) / world_size


def bytes_per_step(layout: str, sizes: ModelSizes, world_size: int) -> float:
    """Bytes that each GPU sends in a training step.

    DDP reduces float32 gradients and spreads the result (twice the gradients).  ZeRO-1 and 2
    reduce and scatter bfloat16 gradients and gather bfloat16 weights.  ZeRO-3 and FSDP gather the
    weights once more, for the backward pass.

    Raises:
        KeyError: unknown layout.
    """
    grads, weights = HALF * sizes.trainable, HALF * sizes.total
    sent = {
        'single': 0,
        'ddp': 2 * FULL * sizes.trainable,
        'deepspeed_zero1': grads + HALF * sizes.trainable,
        'deepspeed_zero2': grads + HALF * sizes.trainable,
        'deepspeed_zero3': grads + 2 * weights,
        'deepspeed_zero3_offload': grads + 2 * weights,
        'fsdp': grads + 2 * weights,
    }[layout]
    return sent * ring_share(world_size)


def communication_seconds(sent: float, gpu: Gpu, world_size: int) -> float:
    """Seconds that ``sent`` bytes a GPU take over the slowest link on their way."""
    link = gpu.node_link if world_size <= gpu.gpus_per_node else gpu.network_link
    return sent / link


def computation_seconds(flops_per_clip: float, clips: int, gpu: Gpu, mfu: float) -> float:
    """Seconds of a step's arithmetic on one GPU."""
    return flops_per_clip * clips / (gpu.flops * mfu)


@dataclass(frozen=True)
class ScalingLimits:
    """One strategy of one model on one number of GPUs.

    Attributes:
        compute, communicate: seconds of a step; the longer one counts when they overlap.
        efficiency: share of a step spent on arithmetic when all communication that is longer
            than the arithmetic shows, and none of the rest.
        clips_per_node: clips a second that a node's loader must deliver.
        cores_per_node: cores that decode them.
        static: bytes a GPU holds beside activations.
        checkpoint: bytes of a checkpoint that training can go on from.
        one_writer, all_nodes: seconds to write it from one node, or from all at once.
    """

    layout: str
    world_size: int
    compute: float
    communicate: float
    efficiency: float
    clips_per_node: float
    cores_per_node: float
    static: float
    checkpoint: float
    one_writer: float
    all_nodes: float


def scaling_limits(
    layout: str,
    sizes: ModelSizes,
    world_size: int,
    flops_per_clip: float,
    clips: int,
    repeats: int,
    gpu: Gpu,
    mfu: float,
) -> ScalingLimits:
    """Limits of training with ``clips`` clips (of which ``repeats`` share a decode) a GPU."""
    compute = computation_seconds(flops_per_clip, clips, gpu, mfu)
    sent = bytes_per_step(layout, sizes, world_size)
    communicate = communication_seconds(sent, gpu, world_size)
    step = max(compute, communicate)
    videos = clips / repeats * gpu.gpus_per_node / step
    held = static_bytes(LAYOUTS[layout], sizes, world_size)
    checkpoint = checkpoint_bytes(sizes)
    nodes = max(world_size // gpu.gpus_per_node, 1)
    return ScalingLimits(
        layout=layout,
        world_size=world_size,
        compute=compute,
        communicate=communicate,
        efficiency=compute / step,
        clips_per_node=videos,
        cores_per_node=videos / DECODED_CLIPS_PER_CORE,
        static=held.held + held.grads,
        checkpoint=checkpoint,
        one_writer=checkpoint / DISK_RATE,
        all_nodes=checkpoint / DISK_RATE / nodes,
    )


def checkpoint_bytes(sizes: ModelSizes) -> float:
    """Float32 weights, the optimiser's state and the average, if there is one."""
    own = FULL * (sizes.total + sizes.states * sizes.trainable)
    return own + (FULL * sizes.trainable if sizes.ema else 0)


def smallest_batch(
    layout: str, sizes: ModelSizes, world_size: int, flops_per_clip: float, gpu: Gpu, mfu: float
) -> float:
    """Clips per GPU at which arithmetic takes as long as communication."""
    sent = bytes_per_step(layout, sizes, world_size)
    seconds = communication_seconds(sent, gpu, world_size)
    return seconds / computation_seconds(flops_per_clip, 1, gpu, mfu)
