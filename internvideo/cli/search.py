"""Search of videos by words or by a video, from an index of features.

Example: internvideo search internvideo2/retrieval/clip_S14_msrvtt videos/ --query "dogs"
"""

import argparse
import hashlib
import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext, redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from internvideo.engine.command_line import (
    IntermixedParser,
    UsageError,
    add_reading_arguments,
    apply_options,
    check_manifest,
    guarded,
    make_projects_importable,
    reading_limits,
    split_option,
)

if TYPE_CHECKING:
    from internvideo.apis import VideoMatch, VideoTextRetriever
    from internvideo.fileio.manifests import ManifestWriter
    from internvideo.visualization.contact_sheet import FoundStrip

MODALITIES = ('vision', 'audio', 'audio_vision')
PROGRESS_SECONDS = 5.0
FRAMES_SHOWN = 4


def build_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = IntermixedParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add('config', help='model name (see list_models) or config file')
    add('videos', nargs='*', help='video files, folders, or lists (.txt, .csv: path first); '
        'without, --index is searched as it is')  # fmt: skip
    add('--query', action='append', default=[], metavar='TEXT', help='what to look for; repeatable')
    add('--like', action='append', default=[], metavar='FILE', help='find videos like this one')
    add('--top-k', type=int, default=5, help='videos shown of each query (default: 5)')
    add('--rerank', type=int, default=0, metavar='N', help='judge the N best by the matching head')
    add('--index', type=Path, metavar='DIR', help='folder of the index (default: below '
        'work_dirs/search, by model, weights and videos)')  # fmt: skip
    add('--store-tokens', action='store_true', help='a new index keeps what --rerank reads')
    add('--checkpoint', help='weights; by default those that the config or its name stands for')
    add('--random-weights', action='store_true', help='run without weights, to try things out')
    add('--frame-sampling', choices=('checkpoint', 'config'), default='checkpoint',
        help='whose choice of frames counts where they differ (default: checkpoint)')  # fmt: skip
    add('--modality', choices=MODALITIES, default='vision', help='what is encoded of a file')
    add('--max-text-length', type=int, metavar='N', help='tokens of a query that are read')
    add('--root', type=Path, help='folder that list entries are relative to')
    add('--shard', metavar='i/n', help='encode share i of n, from 0 (default: SLURM array)')
    add('--manifest', type=Path, metavar='FILE', help='write which frames of the videos that are '
        'encoded now were seen (.jsonl or .parquet)')  # fmt: skip
    add('--workers', type=int, default=2, help='processes that decode (default: 2)')
    add('--batch-size', type=int, default=8, help='videos in one forward pass (default: 8)')
    add_reading_arguments(parser)
    add('--device', help='torch device (default: GPU when there is one)')
    add('--dtype', choices=('float32', 'bfloat16', 'float16'), default='float32')
    add('--json', action='store_true', help='print the results as JSON, all else to stderr')
    add('--picture', type=Path, metavar='FILE', help='draw the results, a picture for each query')
    add('--cfg-options', nargs='+', default=[], metavar='KEY=VALUE',
        help='change config values, e.g. test_dataloader.dataset.backend=pyav')  # fmt: skip
    add('--debug', action='store_true', help='show the traceback of every error')
    return parser


class QueryResult(NamedTuple):
    """Search results of a query: a text, or the path of a video."""

    kind: str
    query: str
    matches: 'list[VideoMatch]'


def check_arguments(args: argparse.Namespace) -> None:
    """Raise UsageError for flags that make no sense together."""
    if not args.videos and args.index is None:
        raise UsageError('give VIDEOS to search, or the --index of some')
    if not (args.videos or args.query or args.like):
        raise UsageError('nothing to do: give VIDEOS, --query or --like')
    if args.top_k < 1 or args.rerank < 0:
        raise UsageError(f'--top-k {args.top_k} or --rerank {args.rerank} is too small')
    reading_limits(args)  # for its error alone
    if args.rerank and args.like:
        raise UsageError('--rerank judges pairs of text and video: not with --like')
    if args.manifest is not None:
        check_manifest(args.manifest)
        if not args.videos:
            raise UsageError('--manifest is of VIDEOS that are encoded: give some')
    if args.picture is not None and not (args.query or args.like):
        raise UsageError('--picture needs a --query or --like')


def make_retriever(args: argparse.Namespace) -> 'VideoTextRetriever':
    """The model of the flags."""
    make_projects_importable()
    from internvideo.apis import VideoTextRetriever, get_config

    config = get_config(args.config)
    apply_options(config, dict(split_option(text) for text in args.cfg_options))
    return VideoTextRetriever(
        config, args.checkpoint, args.device, args.dtype, args.modality, args.batch_size,
        args.workers, args.max_text_length, args.random_weights, args.frame_sampling,
        args.backend, reading_limits(args),
    )  # fmt: skip


def check_queries(args: argparse.Namespace, retriever: 'VideoTextRetriever') -> None:
    """Raise what would otherwise be raised after hours of encoding."""
    from internvideo.engine.inference.retrieval_encoder import normalise_query

    for text in args.query:
        normalise_query(text)
    for file in args.like:
        if not Path(file).is_file():
            raise UsageError(f'--like {file}: no such file')
    if args.rerank or args.store_tokens:
        retriever.check_matching()


def default_index(args: argparse.Namespace, retriever: 'VideoTextRetriever') -> Path:
    """A folder of its own for every model, its weights and settings, and choice of videos."""
    settings = {k: v for k, v in retriever.settings.items() if k != 'note'}
    # In whatever order they are given, the same videos belong to the same index.
    sources = sorted(os.path.abspath(source) for source in args.videos)  # noqa: PTH100
    identity = json.dumps([settings, sources, args.store_tokens], sort_keys=True)
    digest = hashlib.sha256(identity.encode()).hexdigest()[:10]
    return Path('work_dirs', 'search', f'{Path(args.config).stem}-{digest}')


def fill_index(args: argparse.Namespace, retriever: 'VideoTextRetriever', folder: Path) -> bool:
    """Encode what is missing, report it, and return whether all could be read."""
    from internvideo.datasets.inference.video_lists import failures_file, shard_of

    shard = shard_of(args.shard)
    with open_frame_manifest(args, retriever, shard) as manifest:
        report = retriever.index(
            args.videos, folder, args.root, shard, args.store_tokens, progress_printer(), manifest
        )
    listed = f' (see {folder / failures_file(shard)})' if report.failed else ''
    print(
        f'index {folder}: {report.total} videos; {report.encoded} encoded, {report.kept} already '
        f'there, {report.removed} removed, {len(report.failed)} failed{listed}',
        flush=True,
    )
    return not report.failed


def open_frame_manifest(
    args: argparse.Namespace, retriever: 'VideoTextRetriever', shard: tuple[int, int]
) -> 'AbstractContextManager[ManifestWriter | None]':
    """The manifest of the flags, of each share one, or nothing."""
    if args.manifest is None:
        return nullcontext()
    from internvideo.engine.inference.run_header import run_header
    from internvideo.fileio.manifests import open_manifest, shard_file

    settings = {k: v for k, v in retriever.settings.items() if k != 'note'}
    checkpoint = retriever.settings['note']['checkpoint']
    header = run_header(retriever.config, checkpoint, settings=settings)
    return open_manifest(shard_file(args.manifest, shard), header)


def progress_printer() -> Callable[[int, int], None]:
    """Prints how far it is every few seconds."""
    start = last = time.monotonic()

    def show(done: int, count: int) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last >= PROGRESS_SECONDS:
            last = now
            print(f'[{done}/{count}] {done / (now - start):.1f} videos/s', flush=True)

    return show


def find(args: argparse.Namespace, retriever: 'VideoTextRetriever') -> list[QueryResult]:
    """The results of all queries."""
    results = []
    if args.query:
        found = retriever.search(args.query, None, args.top_k, args.rerank)
        results += map(QueryResult, ['text'] * len(found), args.query, found)
    if args.like:
        found = retriever.search(None, args.like, args.top_k)
        results += map(QueryResult, ['video'] * len(found), args.like, found)
    return results


def table(result: QueryResult, reranked: bool) -> str:
    """Result as text, with paths from the working folder where that is shorter."""
    head = 'rank  match   cosine  video' if reranked else 'rank  cosine  video'
    lines = [f'{result.kind}: {result.query}', head]
    for rank, match in enumerate(result.matches, start=1):
        score = f'{match.score:6.2f}  ' if reranked else ''
        path = min(match.path, os.path.relpath(match.path), key=len)
        lines.append(f'{rank:4}  {score}{match.cosine:6.3f}  {path}')
    return '\n'.join(lines)


def as_json(results: Sequence[QueryResult]) -> str:
    """Results as a JSON list."""
    plain = [{r.kind: r.query, 'matches': [m.to_dict() for m in r.matches]} for r in results]
    return json.dumps(plain, indent=2, ensure_ascii=False)


def draw(results: Sequence[QueryResult], target: Path, limits: dict[str, float]) -> None:
    """A contact sheet for each result: ``target`` or, of several, ``target`` with a number."""
    from internvideo.visualization.contact_sheet import draw_contact_sheet

    target.parent.mkdir(parents=True, exist_ok=True)
    for number, result in enumerate(results, start=1):
        name = target.name if len(results) == 1 else f'{target.stem}-{number}{target.suffix}'
        strips = [film_strip(rank, each, limits) for rank, each in enumerate(result.matches, 1)]
        draw_contact_sheet(strips, target.with_name(name), title=result.query)
        print(f'picture: {target.with_name(name)}')


def film_strip(rank: int, match: 'VideoMatch', limits: dict[str, float]) -> 'FoundStrip':
    """Frames spread over a video that was found."""
    import numpy as np

    from internvideo.datasets.bad_samples import MediaError
    from internvideo.datasets.media.readers import open_video
    from internvideo.visualization.contact_sheet import FoundStrip

    caption = f'{rank}. {match.score:.3f}  {Path(match.path).name}'
    try:
        reader = open_video(match.path, limits=limits)
        places = np.linspace(0, len(reader) - 1, FRAMES_SHOWN).astype(int)
        return FoundStrip(reader.get_batch(places), caption)
    except MediaError as error:
        return FoundStrip(None, caption, error.reason)


def main(args: argparse.Namespace) -> None:
    """Index and search, and without a query exit with 1 when a video could not be read."""
    check_arguments(args)
    # Standard output then holds the JSON alone, for the program that reads it.
    with redirect_stdout(sys.stderr) if args.json else nullcontext():
        retriever = make_retriever(args)
        check_queries(args, retriever)
        folder = args.index or default_index(args, retriever)
        all_read = True
        if args.videos:
            all_read = fill_index(args, retriever, folder)
        else:
            retriever.open(folder)
        results = find(args, retriever)
        if args.picture is not None:
            draw(results, args.picture, reading_limits(args))
    if args.json:
        print(as_json(results))
    elif results:
        print('\n\n'.join(table(result, args.rerank > 0) for result in results))
    if not (all_read or results):
        sys.exit(1)


def command(arguments: Sequence[str]) -> int:
    """Run with these arguments and return the exit status."""
    # Before torch is imported: idle threads of OpenMP spin otherwise.
    os.environ.setdefault('OMP_WAIT_POLICY', 'PASSIVE')
    return guarded(main, build_parser(), arguments)
