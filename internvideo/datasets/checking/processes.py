"""Checks in several processes, of which any may die."""

import multiprocessing
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool

from .file_facts import FileFacts
from .lists import AnyList, Chunk, Problem, media_path, where_of
from .rows import examine_rows


def run_chunks(
    lists: list[AnyList], chunks: list[Chunk], workers: int
) -> Iterator[tuple[Chunk, list[Problem], dict[str, FileFacts]]]:
    """Check chunks in several processes, surviving files that kill one of them."""
    waiting = iter(chunks)
    running: dict[Future, Chunk] = {}
    pool = _new_pool(workers)
    try:
        while True:
            # Few at a time, so that a crash takes few along.
            while len(running) < 2 * workers and (chunk := next(waiting, None)) is not None:
                media = lists[chunk.number]
                running[pool.submit(examine_rows, media, chunk.first, chunk.last)] = chunk
            if not running:
                return
            done, _ = wait(running, return_when=FIRST_COMPLETED)
            if any(isinstance(future.exception(), BrokenProcessPool) for future in done):
                pool.shutdown(wait=True)
                # A broken pool does not tell which row it was, so all that were under way are
                # checked apart.
                for chunk in running.values():
                    yield chunk, *_check_apart(lists[chunk.number], chunk)
                running, pool = {}, _new_pool(workers)
                continue
            for future in done:
                yield running.pop(future), *future.result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _new_pool(workers: int) -> ProcessPoolExecutor:
    return ProcessPoolExecutor(workers, multiprocessing.get_context('spawn'))


def _check_apart(media: AnyList, chunk: Chunk) -> tuple[list[Problem], dict[str, FileFacts]]:
    """Check row by row, each that kills its process in another."""
    problems: list[Problem] = []
    files: dict[str, FileFacts] = {}
    pool = _new_pool(1)
    for row in range(chunk.first, chunk.last):
        try:
            # One row at a time in one process: a crash then belongs to this row.
            found, known = pool.submit(examine_rows, media, row, row + 1).result()
        except BrokenProcessPool:
            pool.shutdown()
            pool = _new_pool(1)
            path, detail = media_path(media, row), 'crashes the process that reads it'
            found = [Problem(where_of(media, row), path, 'broken', detail)]
            known = {path: FileFacts(path, 'broken', detail)}
        problems += found
        files |= known
    pool.shutdown()
    return problems, files
