"""CPU time of probing and reading video files beside other decoders, on files made on the spot.

    OMP_NUM_THREADS=1 python benchmarks/reading.py [--rounds 9] [--quick] [--hour]

Four tables: the probe beside decoding 8 frames; 8 frames by every backend; a test video of 4 x 3
views beside decoding its frames once; features of a long video (five minutes, an hour with
``--hour``) beside decoding plus encoder, with the memory at a third and at the end.  One thread
each; the cases of a round run one after another; medians of CPU time, that of the decoder process
included.
"""

import argparse
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

os.environ.setdefault('OMP_NUM_THREADS', '1')
os.environ.setdefault('OMP_WAIT_POLICY', 'PASSIVE')
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import cv2
import numpy as np
import torch
from loader import cases, cpu_seconds, make_video, measure

from internvideo.datasets.inference.video_stream import FrameStream
from internvideo.datasets.media.library_readers import LIBRARY_READERS
from internvideo.datasets.media.limits import MediaLimits
from internvideo.datasets.media.probe import probe_file
from internvideo.datasets.media.readers import open_video, probe_media

FRAMES = 8
CLIP = dict(width=448, height=336, fps=25, frames=250)
VIDEOS = {
    'H.264 mp4, GOP 250': ('a.mp4', CLIP),
    'H.264 mp4, GOP 50': ('b.mp4', CLIP | dict(gop=50)),
    'H.264 mp4, GOP 12': ('c.mp4', CLIP | dict(gop=12)),
    'H.264 mkv, GOP 50': ('d.mkv', CLIP | dict(gop=50)),
    'H.264 mp4, 1280x720': ('e.mp4', CLIP | dict(width=1280, height=720)),
    'H.264 mp4, 192x112, 3 s': ('f.mp4', CLIP | dict(width=192, height=112, frames=75, gop=12)),
    'MPEG-4 avi, GOP 50': ('g.avi', CLIP | dict(codec='mpeg4', gop=50)),
    'VP9 webm, GOP 60': ('h.webm', CLIP | dict(codec='libvpx-vp9', gop=60)),
    'HEVC mp4, GOP 60': ('i.mp4', CLIP | dict(codec='libx265', gop=60)),
}
QUICK = ('H.264 mp4, GOP 12', 'H.264 mp4, 192x112, 3 s')


def indices_of(path: Path) -> list[int]:
    """The middles of as many equal stretches as frames are wanted."""
    count = len(open_video(str(path)))
    return [int((i + 0.5) * count / FRAMES) for i in range(FRAMES)]


def readers(path: Path) -> dict[str, Callable[[], np.ndarray]]:
    """Backend -> function that opens a file and reads 8 frames."""
    text, indices, video = str(path), indices_of(path), probe_media(path).video
    found = {'auto': lambda: open_video(text).get_batch(indices)}
    here = MediaLimits(deadline=None)
    found['auto, in this process'] = lambda: open_video(text, limits=here).get_batch(indices)
    for name, reader in LIBRARY_READERS.items():
        try:
            reader(text, video).get_batch(indices)
        except (ImportError, ValueError) as error:
            print(f'{path.name}: {name} left out ({error})')
            continue
        found[name] = lambda reader=reader: reader(text, video).get_batch(indices)
    return found


def ratios(times: dict[str, list[float]], base: str) -> str:
    """Medians in ms and beside that of ``base``."""
    medians = {name: statistics.median(seconds) for name, seconds in times.items()}
    cells = (
        f'{name} {1e3 * value:.1f} ms ({value / medians[base]:.2f})'
        for name, value in medians.items()
    )
    return ', '.join(cells)


def compare_probe(path: Path, rounds: int) -> None:
    """The probe, fresh and remembered, as shares of decoding 8 frames."""
    indices, limits = indices_of(path), MediaLimits(deadline=None)
    fresh, remembered = 10, 1000
    functions = {
        'decoding': lambda: open_video(str(path), limits=limits).get_batch(indices),
        'probe': lambda: [probe_file(str(path), limits) for _ in range(fresh)],
        'remembered': lambda: [probe_media(path) for _ in range(remembered)],
    }
    times = {name: statistics.median(each) for name, each in measure(functions, rounds).items()}
    probe, cached = times['probe'] / fresh, times['remembered'] / remembered
    print(
        f'{path.name}: decoding {1e3 * times["decoding"]:.1f} ms, probe {1e3 * probe:.2f} ms '
        f'({100 * probe / times["decoding"]:.2f} %), remembered {1e6 * cached:.0f} us '
        f'({100 * cached / times["decoding"]:.3f} %)'
    )


def compare_views(path: Path, folder: Path, rounds: int) -> None:
    """A test video of 4 x 3 views beside decoding its frames once."""
    names = ('decode 32 frames', 'test 4 x 3')
    functions = {name: function for name, function in cases(path, folder).items() if name in names}
    print(f'{path.name}: {ratios(measure(functions, rounds), names[0])}')


def resident() -> float:
    """Megabytes of this process and of those that decode for it."""
    pids = ['self', *Path(f'/proc/self/task/{os.getpid()}/children').read_text().split()]
    pages = sum(int(Path(f'/proc/{pid}/statm').read_text().split()[1]) for pid in pids)
    return pages * os.sysconf('SC_PAGE_SIZE') / 1e6


def compare_stream(path: Path) -> None:
    """Features of a long video at a clip a second beside decoding plus encoder."""
    from internvideo.apis import FeatureExtractor, feature_spec

    spec = feature_spec('internvideo2/tiny_synthetic', random_weights=True, fps=8, window=8)
    extractor = FeatureExtractor(spec, device='cpu')

    def decode() -> Iterator[None]:
        yield from FrameStream(path)

    start = cpu_seconds()
    frames = sum(1 for _ in decode())
    decoding = cpu_seconds() - start
    kept: list[float] = []
    third = frames / 3 / 25

    class Writer:
        windows = 0

        def append(self, features: np.ndarray) -> None:
            self.windows += len(features)
            if not kept and self.windows >= third:
                kept.append(resident())

        def finish(self, metadata: dict) -> None:
            kept.append(resident())

        def abandon(self) -> None:
            pass

    encoding = [0.0]
    original = extractor._features

    def timed(windows: list) -> np.ndarray:
        # Of this process alone: the other one decodes what comes next meanwhile.
        begin = time.process_time()
        features = original(windows)
        encoding[0] += time.process_time() - begin
        return features

    extractor._features = timed
    start = cpu_seconds()
    extractor.write(path, Writer())
    whole = cpu_seconds() - start
    print(
        f'{path.name}: {frames} frames, features {whole:.1f} s, decoding alone {decoding:.1f} s, '
        f'encoder {encoding[0]:.1f} s, ratio {whole / (decoding + encoding[0]):.2f}; '
        f'resident memory {kept[0]:.0f} MB at a third, {kept[-1]:.0f} MB at the end'
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--rounds', type=int, default=9)
    parser.add_argument('--quick', action='store_true', help='two small videos, few rounds')
    parser.add_argument('--hour', action='store_true', help='an hour of video, not five minutes')
    args = parser.parse_args()
    torch.set_num_threads(1)
    cv2.setNumThreads(0)
    rounds = 2 if args.quick else args.rounds
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        videos = {title: v for title, v in VIDEOS.items() if not args.quick or title in QUICK}
        paths = {title: make_video(folder / v[0], **v[1]) for title, v in videos.items()}
        print('probe beside decoding 8 frames')
        for title in [each for each in paths if each.startswith('H.264')]:
            compare_probe(paths[title], rounds)
        print('\n8 frames by backend (beside decord)')
        for title, path in paths.items():
            functions = readers(path)
            base = 'decord' if 'decord' in functions else 'auto'
            print(f'{title}: {ratios(measure(functions, rounds), base)}')
        print('\n4 x 3 views beside decoding once')
        for path in list(paths.values())[:2]:
            compare_views(path, folder, rounds)
        print('\nfeatures of a long video')
        seconds = 4 if args.quick else 3600 if args.hour else 300
        long = dict(width=320, height=240, fps=25, frames=25 * seconds)
        compare_stream(make_video(folder / 'long.mp4', **long))


if __name__ == '__main__':
    main()
