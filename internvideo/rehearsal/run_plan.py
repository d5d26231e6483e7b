"""How long a run is: epochs, steps, tokens, GPU-hours."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from .hardware import Gpu
from .question_items import asks, count_items

KNOWN_SIZES = {
    'k400': 240_000,
    'k600': 366_000,
    'k700': 536_000,
    'k710': 658_000,
    'mit': 727_000,
    'ssv1': 86_000,
    'ssv2': 169_000,
    'anet': 10_000,
    'hacs': 37_600,
    'ucf101': 9_500,
    'hmdb51': 3_600,
}
"""Training videos, rounded, for when the list itself is not on this machine."""


@dataclass(frozen=True)
class RunPlan:
    """Length and cost of a run.

    Attributes:
        samples: training videos.
        samples_known: whether ``samples`` was counted (else it is a rounded public figure).
        gpu_hours: at ``mfu`` of the GPU's dense bfloat16 peak.
    """

    samples: int
    samples_known: bool
    world_size: int
    batch_size: int
    num_repeats: int
    accumulation: int
    epochs: int
    steps_per_epoch: int
    steps: int
    clips: int
    tokens: int
    exaflops: float
    gpu: str
    mfu: float
    gpu_hours: float
    hours: float

    def as_json(self) -> dict:
        """Plain data."""
        return asdict(self)


def count_samples(dataset: Mapping[str, Any]) -> tuple[int, bool]:
    """(training videos, counted or not); 0 when nothing is known.

    Raises:
        ValueError: the list exists and is unusable.
    """
    from internvideo.datasets.formats.annotations import AnnotationList

    if asks(dataset):
        return count_items(dataset)
    path = Path(dataset.get('ann_file') or '')
    if path.is_file():
        columns = dataset.get('columns', ('path', 'label'))
        return len(AnnotationList(path, columns, dataset.get('delimiter'))), True
    folders = [path.parent.name, Path(str(dataset.get('data_prefix') or '')).name]
    for name in folders:
        key = name.lower().removesuffix('_frame')
        if key in KNOWN_SIZES:
            return KNOWN_SIZES[key], False
    return 0, False


def gpu_hours(flops: float, gpu: Gpu, mfu: float) -> float:
    """Hours of one GPU that ``flops`` operations take at the share ``mfu`` of its peak."""
    return flops / (gpu.flops * mfu) / 3600


def plan_run(
    config: Mapping[str, Any],
    world_size: int,
    flops_per_clip: float,
    tokens_per_clip: int,
    gpu: Gpu,
    mfu: float,
    samples: int | None = None,
) -> RunPlan:
    """The plan of a config's training.

    Args:
        config: the config.
        world_size: processes, one GPU each.
        flops_per_clip: of a training step, without recomputation.
        tokens_per_clip: tokens of the encoder.
        gpu, mfu: where it runs, and at what share of the peak.
        samples: training videos; None counts the list or takes the public figure.
    """
    loader = config['train_dataloader']
    known = samples is not None
    if samples is None:
        samples, known = count_samples(loader['dataset'])
    repeats = loader['dataset'].get('num_repeats', 1)
    accumulation = config['optim_wrapper'].get('accumulative_counts', 1)
    steps_per_epoch = samples // world_size // loader['batch_size'] // accumulation
    epochs = config['train_cfg']['max_epochs']
    steps = steps_per_epoch * epochs
    clips = steps * accumulation * loader['batch_size'] * world_size * repeats
    hours = gpu_hours(clips * flops_per_clip, gpu, mfu)
    return RunPlan(
        samples=samples,
        samples_known=known,
        world_size=world_size,
        batch_size=loader['batch_size'],
        num_repeats=repeats,
        accumulation=accumulation,
        epochs=epochs,
        steps_per_epoch=steps_per_epoch,
        steps=steps,
        clips=clips,
        tokens=clips * tokens_per_clip,
        exaflops=clips * flops_per_clip / 1e18,
        gpu=gpu.name,
        mfu=mfu,
        gpu_hours=hours,
        hours=hours / world_size,
    )
