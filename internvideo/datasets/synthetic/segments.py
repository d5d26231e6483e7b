"""Temporal localisation in longer videos of several actions with rests between them."""

import json
from dataclasses import replace

import numpy as np

from .parameters import SPLITS, PartContents, WorldParameters
from .specs import Action, ClipSpec, between, choose, draw_action, draw_clip, random_stream
from .vocabulary import REST

FRACTION = 6
"""One long video for so many recognition clips."""

SUBSETS = dict(train='training', val='validation', test='testing')


def _draw_timeline(rng: np.random.RandomState, parameters: WorldParameters) -> list[Action]:
    """Draw three to five actions, most of them after a rest."""
    actions: list[Action] = []
    for _ in range(between(rng, 3, 5)):
        for motion in (REST, choose(rng, parameters.motions)):
            if motion == REST and rng.random_sample() < 0.3:
                continue
            start = actions[-1].stop if actions else 0
            length = between(rng, parameters.num_frames * 2 // 3, parameters.num_frames * 4 // 3)
            actions.append(draw_action(rng, motion, start, start + length))
    return actions


def segment_table(parameters: WorldParameters, split: str, count: int) -> list[ClipSpec]:
    """Descriptions of the long videos of one split."""
    clips = []
    for index in range(count):
        rng = random_stream(parameters.seed, 'segments', split, index)
        actions = _draw_timeline(rng, parameters)
        clip = draw_clip(
            rng,
            parameters.vocabulary(split),
            # Only for the appearance of the sprite: its action is replaced by the timeline.
            [REST],
            actions[-1].stop,
            parameters.size,
            parameters.fps,
        )
        actor = replace(clip.actors[0], actions=tuple(actions))
        clips.append(replace(clip, actors=(actor,)))
    return clips


def _entry(spec: ClipSpec, split: str) -> dict[str, object]:
    annotations = [
        {
            'segment': [round(a.start / spec.fps, 4), round(a.stop / spec.fps, 4)],
            'label': a.motion,
        }
        for a in spec.actors[0].actions
        if a.motion != REST
    ]
    return {
        'duration': round(spec.duration, 4),
        'subset': SUBSETS[split],
        'resolution': f'{spec.size}x{spec.size}',
        'fps': spec.fps,
        'annotations': annotations,
    }


def segment_contents(parameters: WorldParameters) -> PartContents:
    """Videos with one ActivityNet style file for all subsets, by file stem."""
    media, database = {}, {}
    counts = parameters.counts(FRACTION)
    for split in SPLITS:
        for index, spec in enumerate(segment_table(parameters, split, counts[split])):
            name = f'{split}_{index:05d}'
            media[f'videos/{name}.mp4'] = spec
            database[name] = _entry(spec, split)
    taxonomy = [
        {'nodeId': number, 'nodeName': motion, 'parentId': 0, 'parentName': 'motion'}
        for number, motion in enumerate(parameters.motions, start=1)
    ]
    content = {'version': 'generated', 'taxonomy': taxonomy, 'database': database}
    classes = ''.join(f'{motion}\n' for motion in parameters.motions)
    return PartContents(
        media, {'segments.json': json.dumps(content, indent=1) + '\n', 'classes.txt': classes}
    )
