"""Spatio-temporal localisation with two sprites and their boxes in each frame."""

from dataclasses import replace

from .parameters import SPLITS, PartContents, WorldParameters
from .render import actor_boxes
from .specs import ClipSpec, choose, draw_clip, random_stream

FRACTION = 6
"""One video with boxes for so many recognition clips."""

NUM_ACTORS = 2
LENGTH = 2
"""Length of a video in recognition clips."""


def box_table(parameters: WorldParameters, split: str, count: int) -> list[ClipSpec]:
    """Descriptions of the videos of one split, each ``LENGTH`` times as long as a clip."""
    clips = []
    for index in range(count):
        rng = random_stream(parameters.seed, 'boxes', split, index)
        clip = draw_clip(
            rng,
            parameters.vocabulary(split),
            [choose(rng, parameters.motions) for _ in range(NUM_ACTORS)],
            LENGTH * parameters.num_frames,
            parameters.size,
            parameters.fps,
        )
        # Smaller than elsewhere, so that the two seldom cover each other.
        actors = tuple(replace(actor, radius=actor.radius * 3 // 4) for actor in clip.actors)
        clips.append(replace(clip, actors=actors))
    return clips


def _rows(name: str, spec: ClipSpec, motions: tuple[str, ...]) -> tuple[list[str], list[str]]:
    """Rows at whole seconds and rows at every frame."""
    seconds, frames = [], []
    for entity, (actor, boxes) in enumerate(zip(spec.actors, actor_boxes(spec), strict=True)):
        action = motions.index(actor.actions[0].motion) + 1
        for frame, box in boxes.items():
            place = ','.join(f'{side:.5f}' for side in box)
            frames.append(f'{name},{frame / spec.fps:.3f},{place},{action},{entity}\n')
            if frame % spec.fps == 0:  # AVA annotates one frame a second
                seconds.append(f'{name},{frame // spec.fps:04d},{place},{action},{entity}\n')
    return seconds, frames


def _label_map(motions: tuple[str, ...]) -> str:
    return ''.join(
        f'item {{\n  name: "{motion}"\n  id: {number}\n}}\n'
        for number, motion in enumerate(motions, start=1)
    )


def box_contents(parameters: WorldParameters) -> PartContents:
    """Videos with AVA style lists, at whole seconds and (``*_frames.csv``) at every frame.

    Columns: video id (file stem), seconds, x1, y1, x2, y2 in 0..1, action counted from 1 (names
    in ``actions.pbtxt``), entity.  A hidden sprite has no row.
    """
    media, annotations = {}, {'actions.pbtxt': _label_map(parameters.motions)}
    counts = parameters.counts(FRACTION)
    for split in SPLITS:
        every_second: list[str] = []
        every_frame: list[str] = []
        for index, spec in enumerate(box_table(parameters, split, counts[split])):
            name = f'{split}_{index:05d}'
            media[f'videos/{name}.mp4'] = spec
            seconds, frames = _rows(name, spec, parameters.motions)
            every_second += seconds
            every_frame += frames
        annotations[f'{split}.csv'] = ''.join(every_second)
        annotations[f'{split}_frames.csv'] = ''.join(every_frame)
    return PartContents(media, annotations)
