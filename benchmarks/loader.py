"""CPU time of the Kinetics-400 data pipelines beside decoding alone, on real mp4 files.

    OMP_NUM_THREADS=1 python benchmarks/loader.py [VIDEO ...] [--long] [--rounds 15]

Without a video a clip like those of Kinetics is made: 340x256, 28 fps, 280 frames, H.264, one
key frame in 250; ``--long`` adds one of 640x480, 30 fps, 3600 frames.  One process, one thread;
the cases of a round run one after another, so that a busy machine slows them alike; medians of
CPU time of this process and of its decoder process.  A training clip is also shown as a mean, since
RandAugment draws its cost.
"""

import argparse
import os
import pickle
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault('OMP_NUM_THREADS', '1')
os.environ.setdefault('OMP_WAIT_POLICY', 'PASSIVE')
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import av
import cv2
import numpy as np
import torch

from internvideo.datasets.media.readers import open_video
from internvideo.datasets.video_dataset import VideoDataset

FRAMES, SIZE, VIEWS, CROPS = 8, 224, 4, 3
SHORT = dict(width=340, height=256, fps=28, frames=280)
LONG = dict(width=640, height=480, fps=30, frames=3600)


def make_video(
    path: Path,
    width: int,
    height: int,
    fps: int,
    frames: int,
    codec: str = 'libx264',
    gop: int = 250,
) -> Path:
    """Write drifting coloured texture with some noise: as hard to decode as footage."""
    rng = np.random.RandomState(0)
    coarse = rng.randint(0, 256, (height // 8, width // 8, 3)).astype(np.uint8)
    scene = cv2.resize(coarse, (2 * width, 2 * height), interpolation=cv2.INTER_CUBIC)
    noise = rng.randint(0, 24, (height, width, 3)).astype(np.uint8)
    with av.open(str(path), 'w') as container:
        options = {'g': str(gop), 'crf': '23', 'x265-params': 'log-level=none'}
        stream = container.add_stream(codec, rate=fps, options=options)
        stream.width, stream.height, stream.pix_fmt = width, height, 'yuv420p'
        for number in range(frames):
            x = int((1 + np.sin(number / 40)) * width / 2)
            y = int((1 + np.cos(number / 55)) * height / 2)
            grain = np.roll(noise, 7 * number, axis=(0, 1)[number % 2])
            image = cv2.add(np.ascontiguousarray(scene[y : y + height, x : x + width]), grain)
            frame = av.VideoFrame.from_ndarray(image, format='rgb24')
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def dataset(video: Path, folder: Path, sampling: dict, pipeline: list[dict], **fields) -> Callable:
    """A function that makes the next item of a one-video data set, drawing anew each time."""
    ann_file = folder / 'list.csv'
    ann_file.write_text(f'{video},0\n')
    data = VideoDataset(ann_file, sampling=sampling, pipeline=pipeline, **fields)
    epochs = iter(range(10**9))
    return lambda: data[(next(epochs), 0)]


def cases(video: Path, folder: Path) -> dict[str, Callable]:
    """Name -> function; the first two are decoding alone."""

    def sample(mode: str, views: int = 1) -> dict:
        return dict(type='UniformSample', num_frames=FRAMES, mode=mode, num_views=views)

    def decode(transform: dict) -> Callable:
        item = dataset(video, folder, transform, [lambda sample: sample])
        indices = np.unique(item()['frame_inds']).tolist()
        return lambda: open_video(str(video)).get_batch(indices)

    crop = [dict(type='RandomResizedCrop', size=SIZE), dict(type='RandomFlip')]
    pack, augment = [dict(type='PackInputs')], [dict(type='RandAugment')]
    resize = [dict(type='Resize', short_side=SIZE)]
    centre = [dict(type='CenterCrop', size=SIZE)]
    crops = [dict(type='UniformCrops', num_crops=CROPS)]

    def train(pipeline: list[dict], **fields) -> Callable:
        return dataset(video, folder, sample('train'), pipeline, **fields)

    return {
        'decode 8 frames': decode(sample('val')),
        'decode 32 frames': decode(sample('test', VIEWS)),
        'train, no RandAugment': train(crop + pack),
        'train': train(augment + crop + pack),
        'train, 2 repeats': train(augment + crop + pack, num_repeats=2),
        'val': dataset(video, folder, sample('val'), resize + centre + pack, test_mode=True),
        'test 4 x 3': dataset(
            video, folder, sample('test', VIEWS), resize + crops + pack, test_mode=True
        ),
    }


def measure(functions: dict[str, Callable], rounds: int) -> dict[str, list[float]]:
    """CPU seconds of each function in each round, interleaved."""
    times: dict[str, list[float]] = {name: [] for name in functions}
    for number in range(rounds + 1):
        for name, function in functions.items():
            start = cpu_seconds()
            function()
            if number:  # the first round warms up
                times[name].append(cpu_seconds() - start)
    return times


def cpu_seconds() -> float:
    """CPU time of this process and of those that decode for it."""
    children = Path(f'/proc/self/task/{os.getpid()}/children').read_text().split()
    # Linux' clock of another process, its threads that have ended included.
    clocks = (~int(pid) << 3 | 2 for pid in children)
    ended = os.times()
    running = sum(time.clock_gettime(clock) for clock in clocks)
    return time.process_time() + running + ended.children_user + ended.children_system


def report(title: str, times: dict[str, list[float]]) -> None:
    """Print a table of CPU times and their ratios to decoding."""
    print(f'\n{title}\n{"":26}{"median ms":>10}{"mean ms":>10}{"x decode":>10}{"(mean)":>9}')
    for name, seconds in times.items():
        base = times[
            'decode 32 frames' if name.endswith(('x 3', '32 frames')) else 'decode 8 frames'
        ]
        medians = statistics.median(seconds), statistics.median(base)
        means = statistics.fmean(seconds), statistics.fmean(base)
        print(
            f'{name:26}{medians[0] * 1e3:10.1f}{means[0] * 1e3:10.1f}'
            f'{medians[0] / medians[1]:10.2f}{means[0] / means[1]:9.2f}'
        )


def report_bytes(item: dict) -> None:
    """Print what one training clip costs between processes, beside a float32 clip."""
    tensor = item['inputs']
    # The clip itself travels through shared memory; the rest is pickled.
    rest = len(pickle.dumps(item['data_samples']))
    sent, as_float = tensor.nbytes + rest, 4 * tensor.numel()
    print(
        f'\nbytes between processes: {tensor.nbytes} clip + {rest} data sample; '
        f'clip {tensor.nbytes / as_float:.3f}, in all {sent / as_float:.4f} of a float32 clip'
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('videos', nargs='*', type=Path, help='video files to read')
    parser.add_argument('--long', action='store_true', help='also make and read a long video')
    parser.add_argument('--rounds', type=int, default=15)
    args = parser.parse_args()
    torch.set_num_threads(1)
    cv2.setNumThreads(0)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        videos = args.videos or [make_video(folder / 'short.mp4', **SHORT)]
        if args.long:
            videos.append(make_video(folder / 'long.mp4', **LONG))
        for video in videos:
            functions = cases(video.resolve(), folder)
            report(video.name, measure(functions, args.rounds))
            report_bytes(functions['train']())


if __name__ == '__main__':
    main()
