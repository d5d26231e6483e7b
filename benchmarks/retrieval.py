"""What retrieval costs: re-ranking, similarities in blocks, the contrastive loss, decoding.

    python benchmarks/retrieval.py                       # all four tables
    python benchmarks/retrieval.py rerank --arch large   # one of: rerank scores contrastive decode

CPU time of this process on one thread; cases take turns within a round and medians are compared.
Memory is the growth of the peak of a child process.  Ratios are what to read.
"""

import os

# Before torch is imported: idle OpenMP threads that spin would be counted as work.
os.environ['OMP_WAIT_POLICY'] = 'PASSIVE'
os.environ['OMP_NUM_THREADS'] = '1'

import argparse
import json
import multiprocessing
import socket
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.distributed as dist

from internvideo.datasets.evaluation_sets import RetrievalSet
from internvideo.datasets.synthetic.audio import SAMPLE_RATE
from internvideo.datasets.synthetic.media import write_video
from internvideo.datasets.synthetic.render import render_clip
from internvideo.datasets.synthetic.specs import draw_clip, random_stream
from internvideo.datasets.synthetic.vocabulary import SEEN
from internvideo.evaluation.scorers import BLOCK_ENTRIES, streamed_ranks
from internvideo.models.losses.contrastive import ContrastiveLoss
from internvideo.models.losses.matching import match_logits
from internvideo.models.text.bert import FusionBert

PARTS = ('rerank', 'scores', 'contrastive', 'decode')


def measure(cases: dict[str, Callable[[], Any]], rounds: int) -> dict[str, float]:
    """Median CPU seconds of each case."""
    times: dict[str, list[float]] = {name: [] for name in cases}
    for index in range(rounds + 1):
        for name, run in cases.items():
            start = time.process_time()
            run()
            if index:  # round 0 warms up
                times[name].append(time.process_time() - start)
    return {name: statistics.median(values) for name, values in times.items()}


def in_child(function: Callable[..., Any], *args: Any) -> Any:
    """What ``function(*args)`` returns in a process of its own."""
    context = multiprocessing.get_context('spawn')
    with context.Pool(1) as pool:
        return pool.apply(function, args)


def peak_growth(run: Callable[[], Any]) -> float:
    """Megabytes by which the peak of ``run`` lies above what this process holds before."""
    Path('/proc/self/clear_refs').write_text('5')  # forget the peak so far
    before = _memory('VmRSS')
    run()
    return (_memory('VmHWM') - before) / 1024


def _memory(field: str) -> int:
    lines = Path('/proc/self/status').read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f'{field}:'))


# --- re-ranking ---------------------------------------------------------------------------------


def compare_reranking(args: argparse.Namespace) -> None:
    """Texts of one video judged together, and pair by pair."""
    torch.manual_seed(0)
    encoder = FusionBert(args.arch, media_dim=1408).eval()
    head = torch.nn.Linear(encoder.hidden_size, 2)
    media = torch.randn(1, 1 + args.frames * 256, 1408)
    texts = torch.randn(args.k, 32, encoder.hidden_size)
    mask = torch.ones(args.k, 32, dtype=torch.long)
    rows = torch.arange(args.k)

    @torch.inference_mode()
    def together() -> torch.Tensor:
        return match_logits(encoder, head, media, texts, mask, rows * 0, rows)

    @torch.inference_mode()
    def one_by_one() -> torch.Tensor:
        single = [(media, texts[i : i + 1], mask[i : i + 1], rows[:1], rows[:1]) for i in rows]
        return torch.cat([match_logits(encoder, head, *pair) for pair in single])

    torch.testing.assert_close(together(), one_by_one(), rtol=1e-4, atol=1e-4)
    times = measure({'pair by pair': one_by_one, 'together': together}, args.rounds)
    print(f'\nre-ranking {args.k} texts of a video of {media.shape[1]} tokens, BERT {args.arch}')
    for name, seconds in times.items():
        faster = times['pair by pair'] / seconds
        print(f'  {name:14} {1e3 * seconds / args.k:8.1f} CPU ms a pair   {faster:5.1f} x faster')


# --- similarities -------------------------------------------------------------------------------


def ranks_of(count: int, entries: int) -> Callable[[], torch.Tensor]:
    """Ranks of ``count`` texts for as many videos, by dual soft-max."""
    torch.manual_seed(0)
    sides = [torch.nn.functional.normalize(torch.randn(count, 512), dim=1) for _ in range(2)]
    matches = [[i] for i in range(count)]
    return lambda: streamed_ranks(*sides, matches, dual=True, entries=entries)


def memory_of_ranks(count: int, entries: int) -> float:
    """Megabytes that ranking takes beyond the features."""
    return peak_growth(ranks_of(count, entries))


def compare_scores(args: argparse.Namespace) -> None:
    """A whole matrix of similarities against blocks of rows."""
    print('\nranks by dual soft-max   CPU ms whole  blocks  ratio    MB whole  blocks  ratio')
    for count in args.counts:
        sizes = dict(whole=count * count, blocks=min(BLOCK_ENTRIES, max(1, count * count // 8)))
        times = measure({name: ranks_of(count, n) for name, n in sizes.items()}, args.rounds)
        memory = {name: in_child(memory_of_ranks, count, n) for name, n in sizes.items()}
        print(
            f'  {count:6} x {count:<6}        {1e3 * times["whole"]:12.0f} '
            f'{1e3 * times["blocks"]:7.0f} {times["blocks"] / times["whole"]:6.2f}  '
            f'{memory["whole"]:10.0f} {memory["blocks"]:7.0f} '
            f'{memory["blocks"] / max(1.0, memory["whole"]):6.2f}'
        )


# --- contrastive loss ---------------------------------------------------------------------------


def memory_of_loss(rank: int, world: int, port: int, batch: int, queue: Any) -> None:
    """Put the megabytes that a loss and its backward pass take into ``queue``."""
    address = f'tcp://127.0.0.1:{port}'
    dist.init_process_group('gloo', init_method=address, rank=rank, world_size=world)
    torch.manual_seed(rank)
    sides = [torch.randn(batch, 256, requires_grad=True) for _ in range(2)]
    temp = torch.tensor(0.07, requires_grad=True)
    loss = ContrastiveLoss()
    loss(*(side[:2] for side in sides), temp).backward()  # loads all code
    grown = peak_growth(lambda: loss(*sides, temp).backward())
    dist.barrier()
    dist.destroy_process_group()
    if rank == 0:
        queue.put(grown)


def compare_contrastive(args: argparse.Namespace) -> None:
    """Memory of the loss on one process against the number of processes."""
    context = multiprocessing.get_context('spawn')
    print(f'\ncontrastive loss, {args.batch} pairs on each process: memory of one process')
    found: dict[int, float] = {}
    for world in args.worlds:
        with socket.socket() as probe:
            probe.bind(('127.0.0.1', 0))
            port = probe.getsockname()[1]
        queue = context.Queue()
        facts = (world, port, args.batch, queue)
        processes = [
            context.Process(target=memory_of_loss, args=(rank, *facts)) for rank in range(world)
        ]
        for process in processes:
            process.start()
        found[world] = queue.get(timeout=600)
        for process in processes:
            process.join()
        first = min(found)
        growth = found[world] / max(1.0, found[first])
        print(
            f'  {world} x {args.batch:<6} {found[world]:8.0f} MB   {growth:5.2f} x at '
            f'{world / first:.0f} x the global batch'
        )


# --- decoding -----------------------------------------------------------------------------------


def compare_decoding(args: argparse.Namespace) -> None:
    """Reading a set whose videos have one caption, and one whose videos have many."""
    with tempfile.TemporaryDirectory() as folder:
        root, silence = Path(folder), np.zeros(SAMPLE_RATE, np.int16)
        for number in range(args.videos):
            spec = draw_clip(random_stream(number, 'benchmark'), SEEN, ['left'], 60, 160, 20)
            write_video(root / f'{number}.mp4', render_clip(spec), silence, spec.fps)
        sets = {}
        for captions in (1, args.captions):
            file = root / f'{captions}.json'
            texts = [f'caption number {i}' for i in range(captions)]
            rows = [dict(video=f'{i}.mp4', caption=texts) for i in range(args.videos)]
            file.write_text(json.dumps(rows))
            sets[captions] = RetrievalSet(
                'set',
                str(file),
                dict(type='IntervalSample', num_frames=8, mode='middle'),
                [dict(type='ResizeSquare', size=224), dict(type='PackMedia')],
                data_prefix=folder,
            )
        times = measure(
            {str(n): lambda s=s: [s[i] for i in range(len(s))] for n, s in sets.items()},
            args.rounds,
        )
        one, many = times['1'], times[str(args.captions)]
        print(f'\nreading {args.videos} videos')
        print(f'  1 caption each     {1e3 * one / args.videos:8.1f} CPU ms a video')
        print(
            f'  {args.captions} captions each   {1e3 * many / args.videos:8.1f} CPU ms a video   '
            f'{many / one:5.2f} x'
        )


def main() -> None:
    """Print the tables that were asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('parts', nargs='*', choices=[*PARTS, []], help='tables (default: all)')
    parser.add_argument('--rounds', type=int, default=3)
    parser.add_argument('--arch', default='base', help='of the fusion BERT')
    parser.add_argument('--k', type=int, default=64, help='candidates of a query')
    parser.add_argument('--frames', type=int, default=4)
    parser.add_argument('--counts', type=int, nargs='+', default=[1000, 8000])
    parser.add_argument('--batch', type=int, default=2048)
    parser.add_argument('--worlds', type=int, nargs='+', default=[1, 2, 4])
    parser.add_argument('--videos', type=int, default=24)
    parser.add_argument('--captions', type=int, default=20)
    args = parser.parse_args()
    torch.set_num_threads(1)
    tables = dict(
        rerank=compare_reranking,
        scores=compare_scores,
        contrastive=compare_contrastive,
        decode=compare_decoding,
    )
    for name in args.parts or PARTS:
        tables[name](args)


if __name__ == '__main__':
    main()
