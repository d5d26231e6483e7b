"""Scenes with captions, questions and descriptions of their audio.

Words must have been seen to be understood, so here held-out clips show known words in unseen
combinations of motion, shape and colour.
"""

import json
from collections.abc import Callable, Sequence
from itertools import product

import numpy as np

from .audio import audio_events
from .parameters import PartContents, WorldParameters
from .specs import ClipSpec, choose, draw_clip, random_stream
from .vocabulary import (
    AUDIO_WORDS,
    BACKGROUND_WORDS,
    EVERYTHING,
    MOTION_WORDS,
    TEXTURE_WORDS,
    Vocabulary,
)

HELD_OUT_SHARE = 3
"""One combination of motion, shape and colour in three is kept for val and test."""

# The middle of the radii that are drawn: as many sprites are small as large.
MEAN_RADIUS = 790
NUM_OPTIONS = 4

CAPTIONS = (
    'a {size} {texture} {colour} {shape} {motion} over a {background} background',
    'on a {background} background , a {size} {colour} {shape} with a {texture} texture {motion}',
    'the {shape} is {size} , {colour} and {texture} ; it {motion} . the background is {background}',
    'a {shape} that {motion} : {colour} , {texture} , {size} , {background} background',
)
AUDIO_CAPTIONS = (
    'a {timbre} {pitch} {audio}',
    'a {audio} with a {pitch} pitch and a {timbre} timbre',
)
QUESTIONS = {
    'colour': 'what colour is the shape?',
    'shape': 'which shape is there?',
    'motion': 'what does the shape do?',
    'texture': 'what texture does the shape have?',
    'background': 'what is the background like?',
}

Combination = tuple[str, str, str]


def describe(spec: ClipSpec) -> dict[str, str]:
    """Words for the slots of the templates in a scene with one actor."""
    actor = spec.actors[0]
    motion = actor.actions[0].motion
    return dict(
        size='small' if actor.radius < MEAN_RADIUS else 'large',
        colour=actor.colour,
        shape=actor.shape,
        texture=TEXTURE_WORDS[actor.texture],
        motion=MOTION_WORDS[motion],
        background=BACKGROUND_WORDS[spec.background.kind],
        pitch=spec.pitch,
        timbre=spec.timbre,
        audio=AUDIO_WORDS[motion],
    )


def split_combinations(
    parameters: WorldParameters, vocabulary: Vocabulary
) -> dict[str, list[Combination]]:
    """Shuffle all (motion, shape, colour) and divide them between the splits."""
    every = list(product(parameters.motions, vocabulary.shapes, vocabulary.colours))
    order = random_stream(parameters.seed, 'combinations').permutation(len(every))
    every = [every[i] for i in order]
    held_out = len(every) // HELD_OUT_SHARE
    val = held_out * parameters.num_val // (parameters.num_val + parameters.num_test)
    val = min(max(val, 1), held_out - 1)  # neither val nor test may be left without any
    return dict(train=every[held_out:], val=every[:val], test=every[val:held_out])


def scene_table(parameters: WorldParameters, split: str) -> list[ClipSpec]:
    """Descriptions of one split, whose combinations repeat only when they run out."""
    vocabulary = EVERYTHING.with_shapes_for(parameters.motions)
    combinations = split_combinations(parameters, vocabulary)[split]
    scenes = []
    for index in range(parameters.counts()[split]):
        motion, shape, colour = combinations[index % len(combinations)]
        narrow = Vocabulary((shape,), (colour,), vocabulary.textures, vocabulary.backgrounds)
        rng = random_stream(parameters.seed, 'scenes', split, index)
        scenes.append(
            draw_clip(rng, narrow, [motion], parameters.num_frames, parameters.size, parameters.fps)
        )
    return scenes


def _say(template: str, words: dict[str, str]) -> str:
    return template.format(**words)


Entry = dict[str, object]
Writer = Callable[[str, ClipSpec, np.random.RandomState], list[Entry]]


def _caption(path: str, spec: ClipSpec, rng: np.random.RandomState) -> list[Entry]:
    return [{'video': f'{path}.mp4', 'caption': _say(choose(rng, CAPTIONS), describe(spec))}]


def _captions(path: str, spec: ClipSpec, rng: np.random.RandomState) -> list[Entry]:
    words = describe(spec)
    return [{'video': f'{path}.mp4', 'caption': [_say(text, words) for text in CAPTIONS]}]


def _audio_visual(path: str, spec: ClipSpec, rng: np.random.RandomState) -> list[Entry]:
    words = describe(spec)
    video, audio = _say(choose(rng, CAPTIONS), words), _say(choose(rng, AUDIO_CAPTIONS), words)
    captions = {
        'video_caption': video,
        'audio_caption': audio,
        'avs_captions': f'{video} , with {audio}',
    }
    return [{'video': f'{path}.mp4', **captions}]


def _audio(path: str, spec: ClipSpec, rng: np.random.RandomState) -> list[Entry]:
    events = [
        {'start': round(e.start, 4), 'end': round(e.stop, 4), 'kind': e.kind, 'motion': e.motion}
        for e in audio_events(spec)
    ]
    caption = _say(choose(rng, AUDIO_CAPTIONS), describe(spec))
    return [
        {
            'audio': path.replace('videos/', 'sounds/', 1) + '.wav',
            'video': f'{path}.mp4',
            'caption': caption,
            'duration': spec.duration,
            'events': events,
        }
    ]


def _questions(path: str, spec: ClipSpec, rng: np.random.RandomState) -> list[Entry]:
    words = describe(spec)
    name = path.rsplit('/', 1)[-1]
    return [
        {
            'video': f'{path}.mp4',
            'question_id': f'{name}_{topic}',
            'question_type': topic,
            'question': question,
            'answer': words[topic],
        }
        for topic, question in QUESTIONS.items()
    ]


def _options(
    rng: np.random.RandomState, answer: str, possible: Sequence[str]
) -> tuple[list[str], int]:
    """Options in random order and the position of the answer among them."""
    wrong = [option for option in possible if option != answer]
    drawn = [wrong[i] for i in rng.permutation(len(wrong))[: NUM_OPTIONS - 1]]
    place = int(rng.randint(0, len(drawn) + 1, dtype=np.int64))
    drawn.insert(place, answer)
    return drawn, place


def answer_words(motions: Sequence[str], vocabulary: Vocabulary) -> dict[str, list[str]]:
    """Possible answers to each question."""
    return dict(
        colour=list(vocabulary.colours),
        shape=list(vocabulary.shapes),
        motion=[MOTION_WORDS[motion] for motion in motions],
        texture=[TEXTURE_WORDS[texture] for texture in vocabulary.textures],
        background=[BACKGROUND_WORDS[kind] for kind in vocabulary.backgrounds],
    )


def _multiple_choice(possible: dict[str, list[str]]) -> Writer:
    def write(path: str, spec: ClipSpec, rng: np.random.RandomState) -> list[Entry]:
        entries = []
        for entry, topic in zip(_questions(path, spec, rng), QUESTIONS, strict=True):
            options, place = _options(rng, str(entry['answer']), possible[topic])
            entries.append({**entry, 'option': options, 'answer': place})
        return entries

    return write


def scene_contents(parameters: WorldParameters) -> PartContents:
    """Clips with captions, questions and audio in the layouts of the multi-modality tasks."""
    vocabulary = EVERYTHING.with_shapes_for(parameters.motions)
    writers: dict[str, Writer] = {
        'captions/{}.json': _caption,
        'captions/{}_multi.json': _captions,
        'captions/{}_audio_visual.json': _audio_visual,
        'qa/{}.json': _questions,
        'qa/{}_multiple_choice.json': _multiple_choice(
            answer_words(parameters.motions, vocabulary)
        ),
        'sounds/{}.json': _audio,
    }
    media, annotations = {}, {}
    for split in parameters.counts():
        scenes = scene_table(parameters, split)
        paths = [f'videos/{split}/{split}_{index:05d}' for index in range(len(scenes))]
        for path, spec in zip(paths, scenes, strict=True):
            media[f'{path}.mp4'] = spec
            media[path.replace('videos/', 'sounds/', 1) + '.wav'] = spec
        for name, writer in writers.items():
            # A stream for every file: one more kind of annotation leaves the others as they are.
            rng = random_stream(parameters.seed, 'text', name, split)
            entries = [
                entry
                for path, spec in zip(paths, scenes, strict=True)
                for entry in writer(path, spec, rng)
            ]
            annotations[name.format(split)] = json.dumps(entries, indent=1) + '\n'
    return PartContents(media, annotations)
