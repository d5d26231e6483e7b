"""Extract features of videos of any length: one file per video, resumable, sharded.

Example: internvideo extract-features internvideo2/1B_k400 videos/ --out features --fps 8
"""

import argparse
import multiprocessing
import os
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from internvideo.engine.command_line import (
    IN_ORDER,
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
    from internvideo.apis import FeatureExtractor, FeatureSpec
    from internvideo.datasets.inference.video_lists import NamedVideo
    from internvideo.fileio.manifests import ManifestWriter

POOLS = ('pooled', 'cls', 'mean', 'frames', 'patches', 'tokens')
FORMATS = ('npy', 'npz', 'hdf5')


def build_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add('config', help='model name (see list_models) or config file')
    add('videos', nargs='+', help='video files, folders, or lists (.txt, .csv: path first)')
    add('--out', type=Path, required=True, help='folder of the feature files')
    add('--root', type=Path, help='folder that list entries and output names are relative to')
    add('--columns', nargs='+', help='columns of lists, as in training (default: found)')
    add('--checkpoint', help='weights; by default the published ones of that name')
    add('--random-weights', action='store_true', help='run without weights, to try things out')
    add('--frame-sampling', choices=('checkpoint', 'config'), default='checkpoint',
        help='whose choice of frames counts where they differ (default: checkpoint)')  # fmt: skip
    add('--window', help='frames of a window, or with --fps seconds as 2s (default: '
        'what the encoder takes)')  # fmt: skip
    add('--stride', help='the same between windows (default: the window)')
    add('--fps', type=float, help='sample this many frames a second (default: every frame)')
    add('--pool', choices=POOLS, help='what a feature is (default: pooled, without a pooler mean)')
    add('--layer', type=int, help='block whose tokens are pooled, from 0; -1 is the last')
    add('--format', choices=FORMATS, default='npy', help='kind of file (default: npy)')
    add('--shard', metavar='i/n', help='work on share i of n, from 0 (default: SLURM array)')
    add('--workers', type=int, default=1, help='processes (default: 1)')
    add('--batch-size', type=int, default=8, help='windows in one forward pass (default: 8)')
    add('--device', help='torch device; cuda spreads the workers over all GPUs')
    add('--dtype', choices=('float32', 'bfloat16', 'float16'), default='float32')
    add('--manifest', type=Path, metavar='FILE', help='write which frames of the videos that are '
        'extracted now were seen (.jsonl or .parquet)')  # fmt: skip
    add_reading_arguments(parser, IN_ORDER)
    add('--overwrite', action='store_true', help='replace files made with other settings')
    add('--cfg-options', nargs='+', default=[], metavar='KEY=VALUE',
        help='change config values, e.g. model.backbone.num_frames=16')  # fmt: skip
    add('--debug', action='store_true', help='show the traceback of every error')
    return parser


class Job(NamedTuple):
    """One video and the file its features go to."""

    video: 'NamedVideo'
    target: Path


class Outcome(NamedTuple):
    """Outcome of a job, with an empty ``error`` when its file is complete."""

    job: Job
    windows: int = 0
    error: str = ''
    frame_record: dict[str, Any] | None = None


def make_jobs(args: argparse.Namespace) -> tuple[list[Job], str]:
    """The jobs of this shard, and the name of its list of failures."""
    from internvideo.datasets.inference.video_lists import collect_videos, failures_file, shard_of
    from internvideo.fileio.feature_files import SUFFIXES

    index, count = shard_of(args.shard)
    videos = collect_videos(args.videos, args.root, args.columns)[index::count]
    suffix = SUFFIXES[args.format]
    jobs = [Job(video, args.out / f'{video.name}{suffix}') for video in videos]
    return jobs, failures_file((index, count))


def pending_jobs(jobs: list[Job], args: argparse.Namespace, spec: 'FeatureSpec') -> list[Job]:
    """Jobs whose file is not there yet, or is of an older version of the video.

    Raises ValueError when files of other settings are there and may not be overwritten.
    """
    from internvideo.apis.feature_extractor import same_settings
    from internvideo.fileio.feature_files import read_metadata

    pending, others = [], []
    for job in jobs:
        found = read_metadata(job.target, args.format)
        if found is None or _is_stale(found, job):
            pending.append(job)
        elif not same_settings(found, spec.settings):
            others.append(job)
    if others and not args.overwrite:
        raise ValueError(
            f'{len(others)} files, such as {others[0].target}, were made with other settings; '
            'choose another --out, or --overwrite'
        )
    return pending + others


def _is_stale(metadata: dict, job: Job) -> bool:
    path = job.video.path
    return path.is_file() and path.stat().st_size != metadata.get('video_bytes')


def run_job(extractor: 'FeatureExtractor', job: Job, kind: str, record_frames: bool) -> Outcome:
    """Extract one video, with an outcome and not an exception for an unreadable one."""
    from internvideo.datasets.bad_samples import MediaError
    from internvideo.datasets.frame_records import unreadable_record
    from internvideo.fileio.feature_files import open_writer

    path = job.video.path
    recorder = extractor.recorder(path) if record_frames else None
    try:
        metadata = extractor.write(path, open_writer(job.target, kind), recorder)
    except MediaError as error:
        record = unreadable_record(str(path), error.reason) if record_frames else None
        return Outcome(job, error=error.reason, frame_record=record)
    record = recorder.record(metadata['source_frames']) if record_frames else None
    return Outcome(job, windows=metadata['windows'], frame_record=record)


class Worker:
    """State of a worker process: its model, built once."""

    extractor: 'FeatureExtractor | None' = None
    kind = ''
    record_frames = False


def start_worker(
    spec: 'FeatureSpec',
    device: str,
    batch_size: int,
    kind: str,
    record_frames: bool,
    limits: dict,
    threads: int,
    numbers,
) -> None:
    """Build the model of a worker, which has its share of the GPUs and the cores."""
    import torch
    from mmengine.utils import import_modules_from_strings

    from internvideo.apis import FeatureExtractor

    make_projects_importable()
    # A fresh process has registered nothing of what a project's config imports.
    import_modules_from_strings(**spec.config.get('custom_imports', dict(imports=[])))
    torch.set_num_threads(threads)
    # A pool gives its workers no numbers, so each takes one as it starts.
    number = numbers.get()
    if device == 'cuda':
        device = f'cuda:{number % max(1, torch.cuda.device_count())}'
    Worker.extractor = FeatureExtractor(spec, device, batch_size, limits)
    Worker.kind, Worker.record_frames = kind, record_frames


def run_in_worker(job: Job) -> Outcome:
    """One job in a worker process."""
    return run_job(Worker.extractor, job, Worker.kind, Worker.record_frames)


def outcomes(jobs: list[Job], args: argparse.Namespace, spec: 'FeatureSpec') -> Iterator[Outcome]:
    """Do the jobs, in this process or in several, yielding each as it is done."""
    from internvideo.apis import FeatureExtractor
    from internvideo.engine.inference.devices import pick_device

    workers = min(args.workers, len(jobs))
    device = pick_device(args.device)
    if workers == 1:
        extractor = FeatureExtractor(spec, device, args.batch_size, reading_limits(args))
        how = args.format, args.manifest is not None
        yield from (run_job(extractor, job, *how) for job in jobs)
    elif workers > 1:
        # Each worker would take all cores otherwise, and wait for the others.
        threads = max(1, len(os.sched_getaffinity(0)) // workers)
        how = args.format, args.manifest is not None
        settings = (spec, device, args.batch_size, *how, reading_limits(args), threads)
        yield from _in_processes(jobs, workers, settings)


def _in_processes(jobs: list[Job], workers: int, settings: tuple) -> Iterator[Outcome]:
    # Fresh processes: a forked one cannot use the GPU, nor rely on the parent's threads.
    context = multiprocessing.get_context('spawn')
    numbers = context.SimpleQueue()
    for number in range(workers):
        numbers.put(number)
    with ProcessPoolExecutor(workers, context, start_worker, (*settings, numbers)) as pool:
        running = {pool.submit(run_in_worker, job): job for job in jobs}
        while running:
            done, _ = wait(running, return_when=FIRST_COMPLETED)
            for future in done:
                job = running.pop(future)
                try:
                    yield future.result()
                except BrokenProcessPool:
                    # All that is still to do fails with it: which video killed the worker is not
                    # known.
                    reason = 'not done: a worker process died (out of memory?)'
                    yield Outcome(
                        job,
                        error=reason,
                        frame_record=dict(path=str(job.video.path), unreadable=reason),
                    )


def spec_of(args: argparse.Namespace) -> 'FeatureSpec':
    """Feature spec of the flags."""
    from internvideo.apis import feature_spec, get_config
    from internvideo.apis.feature_extractor import find_feature_weights

    make_projects_importable()
    config = get_config(args.config)
    apply_options(config, dict(split_option(text) for text in args.cfg_options))
    weights = None
    if not args.random_weights:
        # By the name and not the config: published weights are known by names.
        weights = find_feature_weights(args.config, args.checkpoint)
    return feature_spec(
        config, weights, args.pool, args.window, args.stride, args.fps, args.dtype,
        args.random_weights, args.layer, args.frame_sampling,
    )  # fmt: skip


def main(args: argparse.Namespace) -> None:
    """Extract features and exit with 1 when a video failed."""
    from internvideo.fileio.feature_files import import_h5py

    if args.workers < 1:
        raise UsageError(f'--workers must be positive, got {args.workers}')
    reading_limits(args)  # for its error alone
    if args.manifest is not None:
        check_manifest(args.manifest)
    if args.format == 'hdf5':
        # If the package is missing, that is said now and not after the first video.
        import_h5py()
    start = time.perf_counter()
    jobs, failures = make_jobs(args)
    spec = spec_of(args)
    pending = pending_jobs(jobs, args, spec)
    args.out.mkdir(parents=True, exist_ok=True)
    with frame_manifest(args, spec) as manifest:
        failed = run_jobs(pending, args, spec, args.out / failures, manifest)
    where = f' (see {args.out / failures})' if failed else ''
    print(
        f'{len(pending) - failed} extracted, {len(jobs) - len(pending)} already there, '
        f'{failed} failed{where}; {time.perf_counter() - start:.1f} s'
    )
    if failed:
        sys.exit(1)


def frame_manifest(
    args: argparse.Namespace, spec: 'FeatureSpec'
) -> 'AbstractContextManager[ManifestWriter | None]':
    """The manifest of the flags, of each share one, or nothing."""
    if args.manifest is None:
        return nullcontext()
    from internvideo.datasets.inference.video_lists import shard_of
    from internvideo.engine.inference.run_header import run_header
    from internvideo.fileio.manifests import open_manifest, shard_file

    checkpoint = None if spec.weights is None else spec.weights.source
    header = run_header(spec.config, checkpoint, settings=spec.settings)
    return open_manifest(shard_file(args.manifest, shard_of(args.shard)), header)


def run_jobs(
    jobs: list[Job],
    args: argparse.Namespace,
    spec: 'FeatureSpec',
    failures: Path,
    manifest: 'ManifestWriter | None' = None,
) -> int:
    """Do the jobs, print each, list those that fail and return their number."""
    from internvideo.fileio.json_files import append_json_line

    # The list of an earlier call may name videos that can be read by now.
    failures.unlink(missing_ok=True)
    failed, rows = 0, {job.target: row for row, job in enumerate(jobs)}
    for count, outcome in enumerate(outcomes(jobs, args, spec), start=1):
        path = outcome.job.video.path
        result = f'failed: {outcome.error}' if outcome.error else f'{outcome.windows} windows'
        print(f'[{count}/{len(jobs)}] {path}: {result}', flush=True)
        if manifest is not None and outcome.frame_record is not None:
            manifest.add(outcome.frame_record | dict(sample_index=rows[outcome.job.target]))
        if outcome.error:
            failed += 1
            append_json_line(failures, dict(path=str(path), reason=outcome.error))
    return failed


def command(arguments: Sequence[str]) -> int:
    """Run with these arguments and return the exit status."""
    # Before torch is imported: idle threads of OpenMP spin otherwise.
    os.environ.setdefault('OMP_WAIT_POLICY', 'PASSIVE')
    return guarded(main, build_parser(), arguments)
