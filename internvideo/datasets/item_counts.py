"""Number of items of data sets, counted in their files or else published.

Data sets hand these functions out as ``count_items``, for a rehearsal.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from internvideo.datasets.formats.annotations import AnnotationList
from internvideo.datasets.formats.text_annotations import TextAnnotations
from internvideo.registry import DATASETS
from internvideo.structures.rehearsal import ItemCount

from .example_rows import entries, members

Config = Mapping[str, Any]

LABELLED = {
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
"""Training videos of data sets with labels."""
CORPORA = {
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
"""Training items of corpora of media with texts."""
QUESTIONS = {
    'msrvtt/qa_train': 158_600,
    'msvd/qa_train': 30_900,
    'anet/qa_train': 32_000,
    'tgif/frame_train': 39_400,
    'tgif/action_train': 20_500,
    'tgif/transition_train': 52_700,
}
"""Training questions."""
LARGEST_COUNTED = 200_000_000
"""Bytes of an annotation file that is read to count its rows."""


def labelled(config: Config) -> ItemCount:
    """Videos of a list.  Raises ValueError when the list is there and unusable."""
    path = Path(str(config.get('ann_file') or ''))
    if path.is_file():
        columns = config.get('columns', ('path', 'label'))
        return ItemCount({'': len(AnnotationList(path, columns, config.get('delimiter')))})
    # Lists lie in the folder of their data set; else the folder of the media is named after it.
    folders = [path.parent.name, Path(str(config.get('data_prefix') or '')).name]
    names = [name.lower().removesuffix('_frame') for name in folders]
    known = [LABELLED[name] for name in names if name in LABELLED]
    return ItemCount({'': known[0] if known else 0}, is_counted=False)


def questions(config: Config) -> ItemCount:
    """Groups of ``questions_per_clip`` questions, which videos are taken to be asked wholly.

    Raises ValueError when the annotations are there and unusable.
    """
    path, per_clip = Path(str(config.get('ann_file') or '')), config.get('questions_per_clip', 1)
    if path.is_file():
        return ItemCount({'': -(-len(TextAnnotations(path)) // per_clip)})
    known = QUESTIONS.get(f'{path.parent.name}/{path.stem}', 0)
    return ItemCount({'': known // per_clip}, is_counted=False)


def mixed(config: Config) -> ItemCount:
    """Items of all members, or those that an epoch takes from them."""
    given = config['datasets']
    names = given if isinstance(given, Mapping) else dict.fromkeys(map(str, range(len(given))))
    counts = [_count(part) for part in members(config)]
    is_counted = all(count.is_counted for count in counts)
    if config.get('policy', 'weight') == 'weight':
        total = sum(count.total for count in counts)
        if config.get('weights') is not None:
            total = config.get('rows_per_epoch') or total
        return ItemCount({'': total}, is_counted)
    by_kind: dict[str, int] = {}
    for name, part, count in zip(names, members(config), counts, strict=True):
        kind = part.get('media_type', name)
        by_kind[kind] = by_kind.get(kind, 0) + count.total
    return ItemCount(by_kind, is_counted)


def _count(config: Config) -> ItemCount:
    kind = DATASETS.get(config['type']) if isinstance(config, Mapping) else None
    if hasattr(kind, 'count_items'):
        return kind.count_items(config)
    return ItemCount({'': 0}, is_counted=False)


def files_of(entry: Config) -> list[Path]:
    """Annotation files of a table's entry."""
    given = entry.get('ann_file') or ()
    return [Path(str(file)) for file in ([given] if isinstance(given, str | Path) else given)]


def corpus(name: str, entry: Config) -> tuple[int, bool]:
    """Number of items of a corpus and whether they were counted, 0 when nothing is known."""
    files = files_of(entry)
    known = files and all(file.is_file() for file in files)
    if known and sum(file.stat().st_size for file in files) <= LARGEST_COUNTED:
        return len(TextAnnotations(files)), True
    return CORPORA.get(name, 0), False


def tabled(config: Config) -> ItemCount:
    """Items of every modality of the chosen entries, with corpora repeated by their weights."""
    weights = config.get('mix') if isinstance(config.get('mix'), Mapping) else {}
    lengths: dict[str, list[int]] = {}
    shares: dict[str, list[float]] = {}
    is_counted = True
    for name, entry in entries(config):
        number, known = corpus(name, entry)
        media = entry.get('media_type', 'video')
        lengths.setdefault(media, []).append(number)
        shares.setdefault(media, []).append(weights.get(name, 1.0))
        is_counted &= known
    rows = {media: _repeated(n, shares[media]) for media, n in lengths.items()}
    return ItemCount(rows, is_counted)


def _repeated(lengths: Sequence[int], weights: Sequence[float]) -> int:
    """Rows of corpora of one modality, by weight when the weights sum to more than their number."""
    if sum(weights) <= len(weights):
        return sum(lengths)
    return sum(int(n * weight) for n, weight in zip(lengths, weights, strict=True))
