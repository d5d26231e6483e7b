"""Storage of an index: search against brute force, whole parts, tidying, memory."""

import os
import subprocess
import sys
import threading
import uuid
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import torch
from filelock import FileLock, Timeout
from hypothesis import given, settings
from hypothesis import strategies as st

from internvideo.search import index_parts, vector_index
from internvideo.search.index_parts import IndexedFile
from internvideo.search.vector_index import IndexMismatchError, VectorIndex
from tests.apis.tiny_retrieval import unit_rows
from tests.paths import ROOT

SETTINGS = dict(weights='abc', sampling=dict(num_frames=8), note=dict(model='tiny'))
PEAK = """
import sys, torch
from pathlib import Path
from internvideo.search.vector_index import VectorIndex
torch.set_num_threads(1)
small, large = map(VectorIndex, sys.argv[1:])
query = torch.ones(1, 512) / 512**0.5
small.search(query, 10)  # what a first search takes, of whatever size

def kilobytes(field):
    lines = Path('/proc/self/status').read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(field))

Path('/proc/self/clear_refs').write_text('5')  # forget the peak so far
before = kilobytes('VmRSS')
hits = large.search(query, 10)[0]
print(len(hits), (kilobytes('VmHWM') - before) // 1024)
"""


def files(count: int, first: int = 0) -> list[IndexedFile]:
    return [IndexedFile(f'/videos/{number}.mp4', 100, number) for number in range(first, count)]


def fill(index: VectorIndex, features: np.ndarray, part: int, tokens: bool = False) -> None:
    """Add rows in parts of ``part``; the tokens of row i are full of i."""
    writer = index.writer()
    for first in range(0, len(features), part):
        rows = range(first, min(first + part, len(features)))
        stored = np.stack([np.full((2, 3), row) for row in rows]) if tokens else None
        writer.add(files(rows.stop, first), features[first : rows.stop], stored)
        writer.commit()


@pytest.fixture
def index(tmp_path: Path) -> VectorIndex:
    return VectorIndex.create(tmp_path / 'index', SETTINGS)


def brute_force(features: np.ndarray, queries: np.ndarray, top_k: int) -> np.ndarray:
    scores = queries @ features.astype(np.float16).astype(np.float32).T
    return -np.sort(-scores, axis=1)[:, :top_k]


@settings(max_examples=25)
@given(
    count=st.integers(1, 60),
    part=st.integers(1, 30),
    block=st.integers(1, 40),
    num_queries=st.integers(1, 4),
    top_k=st.integers(1, 70),
    seed=st.integers(0, 1000),
)
def test_blocks_give_the_best_of_all(
    tmp_path_factory, count, part, block, num_queries, top_k, seed
) -> None:
    index = VectorIndex.create(tmp_path_factory.mktemp('index'), SETTINGS)
    features, queries = unit_rows(count, 6, seed), unit_rows(num_queries, 6, seed + 1)
    fill(index, features, part)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(vector_index, 'MAX_BLOCK_ROWS', block)
        found = index.search(torch.from_numpy(queries), top_k)
    cosines = np.array([[hit.cosine for hit in hits] for hits in found])
    np.testing.assert_allclose(cosines, brute_force(features, queries, top_k), atol=1e-6)
    for query, hits in zip(queries, found, strict=True):
        assert len({hit.path for hit in hits}) == min(top_k, count)
        numbers = [int(Path(hit.path).stem) for hit in hits]
        exact = features[numbers] @ query  # of what was given, not of what is stored
        assert np.abs(exact - [hit.cosine for hit in hits]).max() < 5e-4


def test_a_part_counts_once_it_is_whole(index: VectorIndex, monkeypatch) -> None:
    fill(index, unit_rows(3, 4), 3)
    writer = index.writer()
    writer.add(files(5, 3), unit_rows(2, 4))
    assert len(index) == 3  # a process killed here leaves nothing that counts ...
    partial = next(index.folder.glob('features/.writing-*'))
    index.tidy()
    assert partial.exists()  # ... and one that still writes is left alone
    os.utime(partial, (0, 0))
    index.tidy()
    assert not partial.exists()
    writer = index.writer(seconds=0.0)
    writer.add(files(5, 3), unit_rows(2, 4))
    assert len(index) == 5
    monkeypatch.setattr(index_parts, 'PART_ROWS', 4)
    with pytest.raises(KeyboardInterrupt), index.writer() as writer:
        for first in range(5, 11, 2):
            writer.add(files(first + 2, first), unit_rows(2, 4))
        raise KeyboardInterrupt
    assert len(index) == 11 and len(index.parts()) == 4


def test_an_interrupted_batch_is_left_out(tmp_path: Path) -> None:
    index = VectorIndex.create(tmp_path / 'index', SETTINGS, store_tokens=True)
    fill(index, unit_rows(2, 4), 2, tokens=True)
    with pytest.raises(TypeError), index.writer() as writer:
        writer.add(files(4, 2), unit_rows(2, 4))  # features are written when tokens fail
    assert len(index) == 2 and not list(index.folder.glob('*/.writing-*'))


@pytest.mark.parametrize('tokens', [False, True])
def test_damaged_parts_do_not_count(tmp_path: Path, tokens: bool) -> None:
    index = VectorIndex.create(tmp_path / 'index', SETTINGS, tokens)
    fill(index, unit_rows(6, 4), 3, tokens)
    first = index.parts()[0]
    broken = first.tokens_file if tokens else first.file
    broken.write_bytes(broken.read_bytes()[:-5])
    assert len(index) == 3
    assert not {file.path for file in first.files()} & {file.path for file in index.files()}
    index.tidy()
    assert len(list(index.folder.glob('*/*'))) == (4 if tokens else 2)


@pytest.mark.parametrize('tokens', [False, True])
def test_tidying_drops_rows_and_joins_parts(tmp_path: Path, tokens: bool) -> None:
    index = VectorIndex.create(tmp_path / 'index', SETTINGS, tokens)
    features = unit_rows(10, 4)
    fill(index, features, 3, tokens)
    fill(index, features[:2], 2, tokens)  # there twice, as two processes may leave them
    gone = index.tidy(lambda file: file.time_ns in (1, 4))
    assert sorted({file.time_ns for file in gone}) == [1, 4]
    (part,) = index.parts()
    assert sorted(file.time_ns for file in part.files()) == [0, 2, 3, 5, 6, 7, 8, 9]
    for row, file in enumerate(part.files()):
        np.testing.assert_array_equal(part.features()[row], np.float16(features[file.time_ns]))
        assert not tokens or (part.tokens()[row] == file.time_ns).all()
    before = part.file.stat().st_mtime_ns
    assert index.tidy() == [] and index.parts()[0].file.stat().st_mtime_ns == before


def test_large_parts_stay_when_small_ones_are_joined(index: VectorIndex, monkeypatch) -> None:
    for module in (vector_index, index_parts):
        monkeypatch.setattr(module, 'PART_ROWS', 8)
    fill(index, unit_rows(20, 4), 5)
    large = {part.file for part in index.parts()}
    for number in (20, 21):
        with index.writer() as writer:
            writer.add(files(number + 1, number), unit_rows(1, 4))
    index.tidy()
    assert large <= {part.file for part in index.parts()} and len(index.parts()) == 5


def test_searching_goes_on_while_parts_are_replaced(index: VectorIndex) -> None:
    features = unit_rows(40, 4)
    fill(index, features, 10)
    stop = threading.Event()

    def replace() -> None:
        while not stop.is_set():
            fill(index, features[:2], 1)
            index.tidy()

    thread = threading.Thread(target=replace)
    thread.start()
    try:
        for _ in range(60):
            hits = index.search(torch.from_numpy(features[:1]), 3)[0]
            assert len({hit.path for hit in hits}) == 3 and hits[0].path == '/videos/0.mp4'
    finally:
        stop.set()
        thread.join()
    assert len(index) == 40


def test_parts_that_are_always_being_replaced_are_listed(index: VectorIndex, monkeypatch) -> None:
    """A process that joins parts between every listing and opening is kept waiting at last."""
    fill(index, unit_rows(6, 4), 3)
    listing = VectorIndex._records

    def list_and_replace(index: VectorIndex) -> list[Path]:
        records = listing(index)
        with suppress(Timeout), FileLock(index.folder / 'index.lock', timeout=0):
            for record in records:
                other = record.with_stem(uuid.uuid4().hex)
                record.with_suffix('.npy').rename(other.with_suffix('.npy'))
                record.rename(other)
        return records

    monkeypatch.setattr(VectorIndex, '_records', list_and_replace)
    assert len(index) == 6 and len(index.parts()) == 2


@pytest.mark.parametrize(
    ('change', 'named'),
    [
        (dict(weights='abd'), 'weights: abc in the index, abd now'),
        (dict(sampling=dict(num_frames=4)), 'sampling: '),
        (dict(audio=1), 'audio: None in the index, 1 now'),
    ],
)
def test_another_models_index_is_refused(index: VectorIndex, change, named) -> None:
    with pytest.raises(IndexMismatchError, match='model tiny') as caught:
        VectorIndex.create(index.folder, SETTINGS | change)
    assert named in str(caught.value)
    VectorIndex.create(index.folder, SETTINGS | dict(note='anything'))


def test_folders_that_are_no_index_are_refused(index: VectorIndex, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match='holds no index'):
        VectorIndex(tmp_path)
    with pytest.raises(ValueError, match='holds other files'):
        VectorIndex.create(tmp_path, SETTINGS)
    with pytest.raises(ValueError, match='without tokens'):
        VectorIndex.create(index.folder, SETTINGS, store_tokens=True)
    header = index.folder / 'index.json'
    header.write_text(header.read_text().replace('"version": 1', '"version": 9'))
    with pytest.raises(ValueError, match='version 9'):
        VectorIndex(index.folder)
    header.write_text('{')
    with pytest.raises(ValueError, match='damaged'):
        VectorIndex(index.folder)


def test_memory_of_a_search_is_that_of_a_block(index: VectorIndex, tmp_path: Path) -> None:
    """200 000 rows of 512 are 205 MB on disk and 410 MB in float32."""
    features = unit_rows(4000, 512).astype(np.float16)
    small = VectorIndex.create(tmp_path / 'small', SETTINGS)
    fill(small, features, 4000)
    with index.writer() as writer:
        for first in range(0, 200_000, 4000):
            writer.add(files(first + 4000, first), np.roll(features, first // 4000, axis=1))
    command = [sys.executable, '-c', PEAK, str(small.folder), str(index.folder)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    hits, grown = map(int, done.stdout.split()[-2:])
    assert hits == 10 and grown < 100
