"""How long a run over a mixture of corpora is."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from internvideo.datasets.formats.text_annotations import TextAnnotations
from internvideo.datasets.mixture_policies import WeightedRows

from .generated_media import MIX, entries
from .hardware import Gpu
from .media_rules import files_of
from .run_plan import RunPlan, gpu_hours

KNOWN_CORPORA = {
    'cc3m': 2_820_000,
    'cc12m': 10_400_000,
    'sbu': 860_000,
    'vg': 769_000,
    'coco': 567_000,
    'laion_coco': 600_000_000,
    'laion_pop': 600_000,
    'webvid': 2_490_000,
    'webvid_10m': 10_730_000,
    'internvid_v1': 10_000_000,
    'wavcaps_400k': 403_000,
    'msrvtt_ret_train9k': 9_000,
    'didemo_ret_train': 8_400,
    'anet_ret_train': 10_000,
    'lsmdc_ret_train': 101_000,
    'msvd_ret_train': 48_800,
    'vatex_en_ret_train': 260_000,
    'audiocaps_ret_train': 49_500,
    'clothov1_ret_train': 2_900,
    'clothov2_ret_train': 3_800,
}
"""Training items, rounded public figures, for when the annotations are not on this machine."""

LARGEST_COUNTED = 200_000_000
"""Bytes of an annotation file that is read to count its rows."""


@dataclass(frozen=True)
class MediumCost:
    """What one item of a medium costs.

    Attributes:
        batch: items of a batch on one process.
        flops: of a training step, without recomputation.
        tokens: of its pictures.
        items: of that medium in an epoch, 0 when not known.
    """

    batch: int
    flops: float
    tokens: int
    items: int = 0


def count_corpus(name: str, entry: Mapping[str, Any]) -> tuple[int, bool]:
    """(items, counted or not) of a corpus; 0 when nothing is known."""
    files = files_of(entry)
    known = files and all(file.is_file() for file in files)
    if known and sum(file.stat().st_size for file in files) <= LARGEST_COUNTED:
        return len(TextAnnotations(files)), True
    return KNOWN_CORPORA.get(name, 0), False


def count_by_medium(dataset: Mapping[str, Any]) -> tuple[dict[str, int], bool]:
    """(items of every medium, whether all were counted); weights of the mixture repeat corpora."""
    mix = dataset.get(MIX)
    weights = mix if isinstance(mix, Mapping) else {}
    lengths: dict[str, list[int]] = {}
    shares: dict[str, list[float]] = {}
    counted = True
    for name, entry in entries(dataset):
        number, known = count_corpus(name, entry)
        media = entry.get('media_type', 'video')
        lengths.setdefault(media, []).append(number)
        shares.setdefault(media, []).append(weights.get(name, 1.0))
        counted &= known
    return {m: len(WeightedRows(n, shares[m])) for m, n in lengths.items()}, counted


def batches_of(loader: Mapping[str, Any], world_size: int) -> dict[str, int]:
    """Batches of every medium in an epoch on each process."""
    counts, _ = count_by_medium(loader['dataset'])
    sizes = loader['batch_sampler']['batch_size']
    size_of = sizes.get if isinstance(sizes, Mapping) else lambda _: sizes
    return {media: number // world_size // size_of(media) for media, number in counts.items()}


def plan_mixture(
    config: Mapping[str, Any],
    world_size: int,
    costs: Mapping[str, MediumCost],
    gpu: Gpu,
    mfu: float,
) -> RunPlan:
    """The plan of a training on a mixture.

    Args:
        config: the config.
        world_size: processes, one GPU each.
        costs: of every medium.
        gpu, mfu: where it runs, and at what share of the peak.
    """
    loader = config['train_dataloader']
    counts, counted = count_by_medium(loader['dataset'])
    batches = batches_of(loader, world_size)
    epochs = config['train_cfg']['max_epochs']
    items = {m: n * costs[m].batch * world_size * epochs for m, n in batches.items() if m in costs}
    flops = sum(number * costs[media].flops for media, number in items.items())
    hours = gpu_hours(flops, gpu, mfu)
    accumulation = config['optim_wrapper'].get('accumulative_counts', 1)
    steps = sum(batches.values()) // accumulation
    return RunPlan(
        samples=sum(counts.values()),
        samples_known=counted,
        world_size=world_size,
        batch_size=max(cost.batch for cost in costs.values()),
        num_repeats=1,
        accumulation=accumulation,
        epochs=epochs,
        steps_per_epoch=steps,
        steps=steps * epochs,
        clips=sum(items.values()),
        tokens=sum(number * costs[media].tokens for media, number in items.items()),
        exaflops=flops / 1e18,
        gpu=gpu.name,
        mfu=mfu,
        gpu_hours=hours,
        hours=hours / world_size,
    )
