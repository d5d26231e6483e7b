"""Cost of indexing videos beside decoding them, and of searching large indices.

    OMP_NUM_THREADS=1 python benchmarks/search.py [--videos 24] [--rows 100000 1000000] [--rounds 5]

Videos are copies of a clip like those of Kinetics (see ``loader.py``), eight frames are taken of
each.  ``index`` runs the whole of ``VideoTextRetriever.index`` with a model that costs next to
nothing and with InternVideo2-S/14, weights random.  One process, no workers; medians of process
CPU time.  Rows of the large indices are random, of width 512, as parts of 4096; a search opens
them from the page cache.  Its memory is by how much the peak passes what a process holds that has
searched a single part.
"""

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault('OMP_NUM_THREADS', '1')
os.environ.setdefault('OMP_WAIT_POLICY', 'PASSIVE')
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
import torch
from loader import SHORT, make_video

from internvideo.apis import VideoTextRetriever, get_config
from internvideo.datasets.media.readers import open_video
from internvideo.datasets.transforms.interval_sampling import interval_middle
from internvideo.search.index_parts import PART_ROWS, IndexedFile
from internvideo.search.vector_index import VectorIndex

CONFIG, WIDTH, FRAMES = 'internvideo2/retrieval/clip_S14_msrvtt', 512, 8
SMALL = dict(embed_dim=16, depth=1, num_heads=2, mlp_ratio=2)
SMALL_TEXT = dict(dim=16, n_transformer_layers=1, n_heads_per_layer=2)
PEAK = """
import sys, torch
from pathlib import Path
from internvideo.search.vector_index import VectorIndex
torch.set_num_threads(1)
queries = torch.full((int(sys.argv[1]), 512), 512**-0.5)
small, large = map(VectorIndex, sys.argv[2:])
small.search(queries, 10)  # what a first search takes, of whatever size

def kilobytes(field):
    lines = Path('/proc/self/status').read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(field))

Path('/proc/self/clear_refs').write_text('5')  # forget the peak so far
before = kilobytes('VmRSS')
large.search(queries, 10)
print((kilobytes('VmHWM') - before) / 1024)
"""


def cpu_milliseconds(run: Callable[[], object], rounds: int) -> float:
    """Median CPU time of ``run``, the first of all calls left out."""
    run()
    times = []
    for _ in range(rounds):
        start = time.process_time()
        run()
        times.append(1e3 * (time.process_time() - start))
    return statistics.median(times)


def retriever(small: bool) -> VideoTextRetriever:
    """S/14, or a model of its interface that costs next to nothing."""
    config = get_config(CONFIG)
    if small:
        fields = dict(arch=SMALL, clip_embed_dim=16, attn_pool_num_heads=2)
        config.model.vision_encoder.update(fields)
        config.model.text_encoder.update(SMALL_TEXT)
    return VideoTextRetriever(config, device='cpu', workers=0, random_weights=True)


def measure_indexing(count: int, rounds: int, folder: Path) -> None:
    """Print the cost of a video."""
    first = make_video(folder / 'videos' / '0.mp4', **SHORT)
    paths = [first, *(first.with_name(f'{i}.mp4') for i in range(1, count))]
    for path in paths[1:]:
        shutil.copy(first, path)
    small, large = retriever(True), retriever(False)
    targets = (folder / f'index-{number}' for number in range(10**9))
    places = interval_middle(SHORT['frames'], FRAMES)
    cases = {
        'decoding alone': lambda: [open_video(str(p)).get_batch(places) for p in paths],
        'reading as the model takes it': lambda: [small.reader(p) for p in paths],
        'index, model of no cost': lambda: small.index(folder / 'videos', next(targets)),
        'index, S/14': lambda: large.index(folder / 'videos', next(targets)),
    }
    base = None
    for name, run in cases.items():
        milliseconds = cpu_milliseconds(run, rounds) / count
        base = base or milliseconds
        print(f'{name:32} {milliseconds:8.1f} ms a video  {milliseconds / base:6.2f}x', flush=True)


def make_index(rows: int, folder: Path) -> VectorIndex:
    """An index of random rows."""
    index = VectorIndex.create(folder / f'rows-{rows}', {})
    rng = np.random.default_rng(0)
    with index.writer() as writer:
        for first in range(0, rows, PART_ROWS):
            numbers = range(first, min(first + PART_ROWS, rows))
            features = rng.standard_normal((len(numbers), WIDTH), np.float32)
            features /= np.linalg.norm(features, axis=1, keepdims=True)
            names = [IndexedFile(f'/videos/of/some/folder/{n:09}.mp4', 1, n) for n in numbers]
            writer.add(names, features)
    return index


def measure_searching(rows: int, rounds: int, folder: Path) -> None:
    """Print the cost of a search."""
    index = make_index(rows, folder)
    size = sum(file.stat().st_size for file in index.folder.rglob('*')) / 2**20
    print(f'{rows} videos: {size:.0f} MB on disk')
    for count in (1, 32):
        queries = torch.nn.functional.normalize(torch.randn(count, WIDTH), dim=1)
        milliseconds = cpu_milliseconds(lambda q=queries: index.search(q, 10), rounds)
        folders = (folder / f'rows-{PART_ROWS}', index.folder)
        command = [sys.executable, '-c', PEAK, str(count), *map(str, folders)]
        root = Path(__file__).resolve().parents[1]
        done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=True)
        print(f'  {count:2} queries: {milliseconds:7.0f} ms CPU, {float(done.stdout):.0f} MB')


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--videos', type=int, default=24)
    parser.add_argument('--rows', type=int, nargs='*', default=[100_000, 1_000_000])
    parser.add_argument('--rounds', type=int, default=5)
    args = parser.parse_args()
    torch.set_num_threads(int(os.environ['OMP_NUM_THREADS']))
    with tempfile.TemporaryDirectory() as name:
        if args.videos:
            (Path(name) / 'videos').mkdir()
            measure_indexing(args.videos, args.rounds, Path(name))
        make_index(PART_ROWS, Path(name))
        for rows in args.rows:
            measure_searching(rows, args.rounds, Path(name))


if __name__ == '__main__':
    main()
