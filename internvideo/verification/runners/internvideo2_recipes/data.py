"""Runners of frame sampling, evaluation preprocessing and training augmentation."""

import itertools
from collections.abc import Callable

import numpy as np

from internvideo.datasets.transforms import (
    frame_sampling,
    geometry,
    interval_sampling,
    rand_augment,
)
from internvideo.models.data_preprocessors.random_erasing import draw_erasing_regions
from internvideo.verification.cases import Case, CaseError, RunEnv
from internvideo.verification.runner_registry import Result, parity_runner

MEAN = np.array([0.485, 0.456, 0.406])
STD = np.array([0.229, 0.224, 0.225])
ERASING_LAW = ('min_area', 'max_area', 'min_aspect', 'min_count')


class Replay:
    """Answers every random call with the value that the case lists, checking what is asked.

    ``checked=False`` is for calls whose arguments the case does not list in full.
    """

    def __init__(self, draws: list, skip: str = '', checked: bool = True) -> None:
        self.checked = checked
        self.draws = [draw for draw in draws if not skip or not draw[0].startswith(skip)]

    def __call__(self, *args: float, **kwargs: int) -> np.ndarray:
        if not self.draws:
            raise CaseError(f'one draw more than the case lists: {args} {kwargs}')
        _, asked, named, value = self.draws.pop(0)
        if self.checked:
            np.testing.assert_allclose(args, asked, rtol=1e-12, atol=1e-12)
            assert kwargs == named
        return value

    random = uniform = randint = __call__


def _uniform(combo: dict, total: int) -> list[int]:
    n = combo['num_frames']
    if combo['mode'] == 'train':
        return frame_sampling.uniform_train(total, n, Replay(combo.get('draws', [])))
    if combo['mode'] == 'validation':
        return frame_sampling.uniform_val(total, n)
    return frame_sampling.uniform_test(total, n, combo['num_views'])[combo['view']]


def _window(combo: dict) -> tuple[int, int]:
    times = (combo[f'{name}_time'] for name in ('total', 'start', 'end'))
    return frame_sampling.interval_window(combo['total_frames'], *times)


def _sparse(combo: dict) -> list[int]:
    return _uniform(combo, combo['total_frames'])


def _interval(combo: dict) -> list[int]:
    first, length = _window(combo)
    return [first + index for index in _uniform(combo, length)]


def _dense(combo: dict) -> list[int]:
    total, n, stride = (combo[key] for key in ('total_frames', 'num_frames', 'stride'))
    if combo['mode'] == 'train':
        return frame_sampling.dense_train(total, n, stride, Replay(combo.get('draws', [])))
    if combo['mode'] == 'validation':
        return frame_sampling.dense_val(total, n, stride, published=True)
    return frame_sampling.dense_test(total, n, stride, combo['num_views'])[combo['view']]


def _segments_video(combo: dict) -> list[int]:
    total, n = combo['total_frames'], combo['num_frames']
    if combo['mode'] == 'train':
        return frame_sampling.segments_train(total, n, Replay(combo.get('draws', [])))
    if combo['mode'] == 'validation':
        return frame_sampling.segments_video_val(total, n)
    if combo.get('view') is None:
        return frame_sampling.segments_video_all(total, n, combo.get('num_views'))
    return frame_sampling.segments_video_test(total, n, combo['num_views'])[combo['view']]


def _segments_frames(combo: dict) -> list[int]:
    total, n = combo['total_frames'], combo['num_frames']
    if combo['mode'] == 'train':
        draw = Replay(combo.get('draws', []))
        return frame_sampling.segments_train(total, n, draw, pad_front=True)
    if combo['mode'] == 'validation':
        return frame_sampling.segments_frames_val(total, n)
    return frame_sampling.segments_frames_test(total, n, combo['num_views'])[combo['view']]


def _pretrain(combo: dict) -> list[int]:
    first, length = _window(combo) if 'start_time' in combo else (1, combo['total_frames'])
    sizes = (combo[key] for key in ('num_segments', 'num_frames', 'stride'))
    return frame_sampling.pretrain(length, *sizes, Replay(combo.get('draws', [])), first=first)


SAMPLERS: dict[str, Callable[[dict], list[int]]] = dict(
    sparse=_sparse,
    interval=_interval,
    dense=_dense,
    segments_video=_segments_video,
    segments_frames=_segments_frames,
    pretrain=_pretrain,
    pretrain_interval=_pretrain,
)


@parity_runner(*(f'internvideo2_recipes/sampling_{kind}' for kind in SAMPLERS))
def run_sampling(case: Case, env: RunEnv) -> Result:
    kind = case.family.rpartition('sampling_')[2]
    for combo in case.facts['combos']:
        combo.require(kind=kind)
        combo.ignore('seed')  # the draws are listed
    clips = [np.asarray(SAMPLERS[kind](combo), np.int64) for combo in case.facts['combos']]
    # Length 0 says that the published code fails there: ours must not, but nothing is compared.
    lengths = case.stored['lengths']
    if len(lengths) == len(clips):
        clips = [clip[: len(clip) * bool(n)] for clip, n in zip(clips, lengths, strict=True)]
    return Result(dict(indices=np.concatenate(clips), lengths=np.array([len(c) for c in clips])))


def _multi_modality(combo: dict) -> list[int]:
    kind, total = combo['sample'], combo['total_frames']
    combo.ignore('seed')  # the draws are listed
    if kind.startswith('fps'):
        combo.ignore('num_frames')  # the length and the rate of the video decide
        limit = combo.get('max_num_frames', -1)
        return interval_sampling.frames_per_second(
            total, combo['input_fps'], float(kind[3:]), limit
        )
    if kind == 'rand':
        draw = Replay(combo.get('draws', []), checked=False)
        return interval_sampling.interval_rand(total, combo['num_frames'], draw, draw)
    if combo.get('fix_start') is not None:
        return interval_sampling.interval_start(total, combo['num_frames'], combo['fix_start'])
    return interval_sampling.interval_middle(total, combo['num_frames'])


@parity_runner('internvideo2_recipes/frame_indices')
def run_frame_indices(case: Case, env: RunEnv) -> Result:
    clips = [_multi_modality(combo) for combo in case.facts.get('combos', ())]
    offsets = [interval_sampling.clip_offsets(*c) for c in case.facts.get('clip_combos', ())]
    joined = {
        name: np.array([*itertools.chain.from_iterable(parts)], np.int64)
        for name, parts in (('indices', clips), ('clip_indices', offsets))
    }
    return Result(joined | dict(lengths=np.array([len(clip) for clip in clips], np.int64)))


@parity_runner('internvideo2_recipes/eval_preprocess')
def run_eval_preprocess(case: Case, env: RunEnv) -> Result:
    outputs = {}
    for number, combo in enumerate(case.facts['combos']):
        sample = dict(imgs=case.role(str(number)).astype(np.uint8), num_views=1)
        count, height, width, _ = sample['imgs'].shape
        combo.require(frames=count, height=height, width=width)
        sample = geometry.Resize(short_side=combo['short_side'])(sample)
        if combo['mode'] == 'validation':
            imgs = geometry.CenterCrop(combo['crop'])(sample)['imgs']
        else:
            count = combo.get('num_crops', 1)
            crops = geometry.UniformCrops(count)(sample)['imgs']
            imgs = np.split(crops, count)[combo.get('crop_index', 0)]
        outputs[f'o{number}'] = ((imgs / 255 - MEAN) / STD).transpose(3, 0, 1, 2)
    return Result(outputs)


@parity_runner('internvideo2_recipes/mm_eval_transform')
def run_square_transform(case: Case, env: RunEnv) -> Result:
    outputs = {}
    for number, combo in enumerate(case.facts['combos']):
        combo.require(shape=list(case.role(f'frames{number}').shape))
        frames = case.role(f'frames{number}').astype(np.uint8).transpose(0, 2, 3, 1)
        for name, antialias in (('plain', False), ('antialias', True)):
            resize = geometry.ResizeSquare(combo['res'], antialias=antialias)
            imgs = resize(dict(imgs=frames))['imgs']
            outputs[f'{name}{number}'] = ((imgs / 255 - MEAN) / STD).transpose(0, 3, 1, 2)
    return Result(outputs)


def _resized_crops(facts: dict) -> dict[str, np.ndarray]:
    outputs = {}
    for number, combo in enumerate(facts.get('resized_crop', ())):
        # The published code also draws a NumPy number per try and does not use it.
        combo.ignore('seed')
        draws = Replay(combo['draws'], skip='np.')
        law = {name: tuple(combo[name]) for name in ('scale', 'ratio') if name in combo}
        box = geometry.resized_crop_box(
            combo['height'], combo['width'], uniform=draws, randint=draws, **law
        )
        outputs[f'crop{number}'] = np.array(box)
    return outputs


def _multi_scale_crops(facts: dict) -> dict[str, np.ndarray]:
    outputs = {}
    for number, combo in enumerate(facts.get('multi_scale_crop', ())):
        width, height, (size, place) = combo['width'], combo['height'], combo['pick']
        scales = combo.get('scales', geometry.MultiScaleCrop.scales)
        pairs = geometry.multi_scale_sizes(width, height, combo['input_size'], scales)
        offsets = geometry.fixed_offsets(width, height, *pairs[size])
        outputs[f'pairs{number}'], outputs[f'offsets{number}'] = np.array(pairs), np.array(offsets)
        outputs[f'box{number}'] = np.array([*pairs[size], *offsets[place]])
    return outputs


def _erased(facts: dict) -> dict[str, np.ndarray]:
    outputs = {}
    for number, combo in enumerate(facts.get('random_erasing', ())):
        frames, _, height, width = combo['shape']
        # The draws are listed; which region is erased does not depend on what fills it.
        combo.ignore('seed', 'mode')
        erased = np.zeros((frames, height, width), bool)
        for first, top, left, h, w in draw_erasing_regions(
            *(frames, height, width, Replay(combo['draws'])),
            prob=combo.get('prob', 0.25),
            max_count=combo.get('count', 1),
            **{name: combo[name] for name in ERASING_LAW if name in combo},
        ):
            erased[first:, top : top + h, left : left + w] = True
        outputs[f'erased{number}'] = erased
    return outputs


def _levels(facts: dict) -> dict[str, np.ndarray]:
    if 'rand_augment_ops' not in facts:
        return {}
    return {f'level_arg_neg{n}': _level_arguments(facts, bool(n)) for n in (0, 1)}


def _level_arguments(facts: dict, negate: bool) -> np.ndarray:
    levels = [rand_augment.LEVELS[name] for name in facts['rand_augment_ops']]
    return np.array(
        [
            [np.nan if level is None else level(m, negate) for m in facts['magnitudes']]
            for level in levels
        ]
    )


@parity_runner('internvideo2_recipes/augment')
def run_augment(case: Case, env: RunEnv) -> Result:
    parts = (_resized_crops, _multi_scale_crops, _erased, _levels)
    return Result({k: v for part in parts for k, v in part(case.facts).items()})


@parity_runner('internvideo2_recipes/augment_ops')
def run_augment_ops(case: Case, env: RunEnv) -> Result:
    imgs = case.role('image').astype(np.uint8)[None]
    magnitude = case.facts['image_magnitude']
    results = [rand_augment.apply_operation(imgs, op, magnitude) for op in case.facts['ops']]
    return Result(dict(ops_image=np.concatenate(results).astype(np.float32)))
