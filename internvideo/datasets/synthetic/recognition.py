"""Recognition clips of one sprite whose motion is the class."""

from collections.abc import Iterator

from .parameters import SPLITS, PartContents, WorldParameters, balanced_labels
from .specs import ClipSpec, draw_clip, random_stream

FRAMES_FRACTION = 10
"""Frame folders are many small files: a tenth of the clips is enough."""


def recognition_table(
    parameters: WorldParameters, split: str, count: int, part: str = 'recognition'
) -> Iterator[tuple[ClipSpec, int]]:
    """Descriptions and labels of one split."""
    # Labels and appearances come from separate random streams, so that they are independent.
    labels = balanced_labels(
        random_stream(parameters.seed, part, split), count, len(parameters.motions)
    )
    for index, label in enumerate(labels):
        spec = draw_clip(
            random_stream(parameters.seed, part, split, index),
            parameters.vocabulary(split),
            [parameters.motions[label]],
            parameters.num_frames,
            parameters.size,
            parameters.fps,
        )
        yield spec, label


def _class_names(parameters: WorldParameters) -> str:
    return ''.join(f'{motion}\n' for motion in parameters.motions)


def recognition_contents(parameters: WorldParameters) -> PartContents:
    """Videos with Kinetics style lists: ``path,label``."""
    media, annotations = {}, {'classes.txt': _class_names(parameters)}
    for split, count in parameters.counts().items():
        lines = []
        for index, (spec, label) in enumerate(recognition_table(parameters, split, count)):
            path = f'videos/{split}/{split}_{index:05d}.mp4'
            media[path] = spec
            lines.append(f'{path},{label}\n')
        annotations[f'{split}.csv'] = ''.join(lines)
    return PartContents(media, annotations)


def frame_contents(parameters: WorldParameters) -> PartContents:
    """Frame folders with Something-Something style lists: ``folder,frames,label``."""
    media, annotations = {}, {'classes.txt': _class_names(parameters)}
    counts = parameters.counts(FRAMES_FRACTION)
    for split in SPLITS:
        lines = []
        table = recognition_table(parameters, split, counts[split], part='frames')
        for index, (spec, label) in enumerate(table):
            path = f'images/{split}/{split}_{index:05d}'
            media[path] = spec
            lines.append(f'{path},{spec.num_frames},{label}\n')
        annotations[f'{split}.csv'] = ''.join(lines)
    return PartContents(media, annotations)
