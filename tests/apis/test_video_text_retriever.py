"""Indexing and searching with tiny models: resuming, sharing, changes, re-ranking, sound."""

import json
import multiprocessing
import os
import signal
from collections import Counter
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest
import torch
from mmengine.logging import MMLogger

from internvideo.apis import IndexMismatchError, VideoTextRetriever
from internvideo.datasets.bad_samples import MediaError
from internvideo.datasets.collate import collate_media
from internvideo.datasets.transforms import loading
from internvideo.registry import INFERENCERS
from internvideo.search import index_parts
from tests.apis.tiny import CONFIG
from tests.apis.tiny_retrieval import (
    clip_model,
    tiny_retrieval,
    write_retrieval_config,
    write_videos,
    write_weights,
)

QUERIES = ['a red ball moves right', 'Blue square, down!', 'what is it']


@pytest.fixture(scope='module')
def tiny(tmp_path_factory) -> tuple[Path, Path]:
    return tiny_retrieval(tmp_path_factory.mktemp('stage2'))


@pytest.fixture(scope='module')
def retriever(tiny) -> VideoTextRetriever:
    return make(*tiny)


@pytest.fixture(scope='module')
def clip(tmp_path_factory) -> VideoTextRetriever:
    config = write_retrieval_config(tmp_path_factory.mktemp('clip'), clip_model())
    return make(config, None, random_weights=True)


@pytest.fixture(scope='module')
def videos(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp('videos')
    write_videos(folder, 7)
    return folder


def make(config: Path, weights: Path | None, **fields) -> VideoTextRetriever:
    return VideoTextRetriever(config, weights, 'cpu', **dict(batch_size=2, workers=0) | fields)


def index_share(
    retriever: VideoTextRetriever, videos: Path, folder: Path, share: int, count: int, killed: int
) -> None:
    """Index a share; the process kills itself after so many videos."""

    def progress(done: int, _: int) -> None:
        if done >= killed:
            os.kill(os.getpid(), signal.SIGKILL)

    torch.set_num_threads(1)
    retriever.index(videos, folder, shard=(share, count), progress=progress)


def start(*args: object, killed: int = 10**9) -> BaseProcess:
    """:func:`index_share` in a process of its own."""
    process = multiprocessing.get_context('fork').Process(target=index_share, args=(*args, killed))
    process.start()
    return process


def names(folder_index) -> list[str]:
    return sorted(Path(file.path).name for file in folder_index.files())


# ----------------------------------------------------------------- searching


@pytest.mark.parametrize('kind', ['retriever', 'clip'])
def test_results_are_the_largest_cosines(kind, videos, tmp_path, request) -> None:
    searching = request.getfixturevalue(kind)
    assert searching.index(videos, tmp_path / 'index').encoded == 7
    paths = sorted(map(str, videos.iterdir()))
    cosines = searching.encode_texts(QUERIES) @ searching.encode_videos(paths).T
    for row, matches in zip(cosines, searching.search(text=QUERIES, top_k=3), strict=True):
        assert [match.cosine for match in matches] == pytest.approx(row.topk(3)[0], abs=1e-3)
        for match in matches:
            assert row[paths.index(match.path)].item() == pytest.approx(match.cosine, abs=1e-3)
            assert match.score == match.cosine
    (single,) = searching.search(text=QUERIES[:1], top_k=3)
    assert searching.search(text=QUERIES[0], top_k=3) == single
    like = searching.search(video=paths[4], top_k=20)
    assert like[0].path == paths[4] and like[0].score == pytest.approx(1, abs=1e-3)
    assert len(like) == 7


def test_reranking_follows_the_matching_head(retriever, tiny, videos, tmp_path) -> None:
    retriever.index(videos, tmp_path / 'index')
    plain = retriever.search(text=QUERIES, top_k=7)
    reranked = retriever.search(text=QUERIES, top_k=4, rerank=7)
    model, encoder = retriever.encoder.model, retriever.encoder
    text = encoder.queries(QUERIES)
    for query, matches in enumerate(reranked):
        found = {}
        for path in sorted(videos.iterdir()):
            media = encoder.samples(collate_media([retriever.reader(path)]))
            with torch.inference_mode():
                rows = (torch.tensor([0]), torch.tensor([query]))
                found[str(path)] = model.match_scores(media, text, *rows, 'vision').item()
        best = sorted(found, key=found.get, reverse=True)[:4]
        assert [match.path for match in matches] == best
        assert [m.score for m in matches] == pytest.approx([found[p] for p in best], abs=1e-5)
    assert [m.path for m in plain[0]][:4] != [m.path for m in reranked[0]]
    few = retriever.search(text=QUERIES[0], top_k=1, rerank=2)
    judged = [match.path for match in plain[0][:2]]
    assert few[0].path == next(m.path for m in reranked[0] + plain[0] if m.path in judged)
    stored = make(*tiny)
    stored.index(videos, tmp_path / 'stored', store_tokens=True)
    for old, new in zip(reranked, stored.search(QUERIES, top_k=4, rerank=7), strict=True):
        assert [m.score for m in new] == pytest.approx([m.score for m in old], abs=1e-2)


def test_stored_tokens_need_no_video(tiny, tmp_path) -> None:
    paths = write_videos(tmp_path / 'videos', 3)
    for stores, count in ((True, 3), (False, 2)):
        searching = make(*tiny)
        searching.index(tmp_path / 'videos', tmp_path / f'{stores}', store_tokens=stores)
        gone = paths[2].rename(tmp_path / 'gone.mp4')
        assert len(searching.search(text='a ball', rerank=3)) == count
        gone.rename(paths[2])


def test_labels_are_a_softmax_of_scaled_cosines(retriever, videos) -> None:
    path = videos / '0.mp4'
    found = retriever.labels(path, QUERIES)
    cosines = retriever.encode_texts(QUERIES) @ retriever.encode_videos([path])[0]
    expected = dict(zip(QUERIES, (100 * cosines).softmax(dim=0).tolist(), strict=True))
    assert dict(found) == pytest.approx(expected)
    assert [chance for _, chance in found] == sorted(expected.values(), reverse=True)


def test_texts_are_read_as_in_training_and_cuts_are_told(
    retriever, clip, caplog, monkeypatch
) -> None:
    monkeypatch.setattr(MMLogger.get_current_instance(), 'handlers', [caplog.handler])
    twice = retriever.encode_texts(['A red-ball!', 'a red  ball'])
    assert torch.equal(*twice) and not caplog.text
    retriever.encode_texts([' '.join(['ball'] * 10)])  # with its two ends exactly 12 tokens
    assert not caplog.text
    retriever.encode_texts([' '.join(['ball'] * 11)])
    assert 'a text of 13 tokens is cut to 12' in caplog.text
    clip.encode_texts([' '.join(['ball'] * 75)])
    assert caplog.text.count('is cut') == 1
    clip.encode_texts([' '.join(['ball'] * 76)])
    assert 'a text of 78 tokens is cut to 77' in caplog.text


def test_the_length_of_texts_can_be_chosen(tiny) -> None:
    text = ' '.join(['ball'] * 11 + ['red'])
    short, long = make(*tiny), make(*tiny, max_text_length=16)
    assert not torch.equal(short.encode_texts([text]), long.encode_texts([text]))


def test_what_cannot_be_searched_is_refused(retriever, clip, tiny, videos, tmp_path) -> None:
    clip.index(videos, tmp_path / 'clip')
    for call, reason in (
        (lambda: make(*tiny).search(text='a'), 'call index'),
        (lambda: clip.search(), 'give one of them'),
        (lambda: clip.search(text='a', video='b'), 'give one of them'),
        (lambda: clip.search(text=' ?! '), 'holds no word'),
        (lambda: clip.search(text=[]), 'there is no text'),
        (lambda: clip.search(video=[]), 'there is no video'),
        (lambda: clip.search(text=5), '5 is no text'),
        (lambda: clip.search(text=['a', 3]), '3 is no text'),
        (lambda: clip.search(video=[4]), '4 is no video file'),
        (lambda: clip.search(text='a', top_k=0), 'top_k=0'),
        (lambda: clip.search(text='a', rerank=5), 'InternVideo2CLIP has no matching head'),
        (lambda: clip.index(videos, tmp_path / 'x', store_tokens=True), 'no matching head'),
        (lambda: retriever.search(video='a', rerank=5), 'search by a text'),
        (lambda: clip.search(video=tmp_path / 'gone.mp4'), 'gone.mp4'),
        (lambda: make(*tiny, modality='audio'), 'has no audio_encoder'),
        (lambda: make(*tiny, modality='smell'), 'modality must be one of vision, audio'),
        (lambda: make(*tiny, workers=-1), 'too small'),
    ):
        with pytest.raises(ValueError, match=reason):
            call()
    broken = tmp_path / 'broken'
    broken.mkdir()
    (broken / 'a.mp4').write_bytes(b'not a video')
    assert clip.index(broken, tmp_path / 'none').total == 0
    with pytest.raises(ValueError, match='holds no video'):
        clip.search(text='a')
    with pytest.raises(FileNotFoundError, match='no video file'):
        (tmp_path / 'empty').mkdir()
        clip.index(tmp_path / 'empty', tmp_path / 'other')
    with pytest.raises(MediaError):
        clip.labels(broken / 'a.mp4', ['a'])


# ------------------------------------------------------------------ indexing


def test_an_index_follows_its_videos(retriever, tmp_path, monkeypatch) -> None:
    folder, index_dir = tmp_path / 'videos', tmp_path / 'index'
    paths = write_videos(folder, 5)
    (folder / 'broken.mp4').write_bytes(b'not a video')
    opened = Counter()

    def open_video(path: str, *arguments):
        opened[Path(path).name] += 1
        return original(path, *arguments)

    original = loading.open_video
    monkeypatch.setattr(loading, 'open_video', open_video)
    report = retriever.index(folder, index_dir)
    assert (report.encoded, report.kept, report.removed, report.total) == (5, 0, 0, 5)
    assert list(report.failed) == [str(folder / 'broken.mp4')]
    (line,) = (index_dir / 'failed.jsonl').read_text().splitlines()
    assert json.loads(line)['path'].endswith('broken.mp4') and json.loads(line)['reason']
    assert set(opened.values()) == {1}

    (folder / 'broken.mp4').unlink()
    paths[0].unlink()
    write_videos(folder, 1, first=9)
    paths[1].write_bytes(paths[2].read_bytes())
    opened.clear()
    report = retriever.index([folder], index_dir)
    assert (report.encoded, report.kept, report.removed, report.total) == (2, 3, 1, 5)
    assert opened == {'1.mp4': 1, '9.mp4': 1} and not (index_dir / 'failed.jsonl').exists()
    index = retriever.open(index_dir)
    assert names(index) == ['1.mp4', '2.mp4', '3.mp4', '4.mp4', '9.mp4']
    # The changed file is found as what it is now: one of the two that are alike.
    assert {Path(m.path).name for m in retriever.search(video=paths[2], top_k=2)} == {
        '1.mp4',
        '2.mp4',
    }


def test_other_folders_are_added_and_lists_are_read(retriever, tmp_path, monkeypatch) -> None:
    first, second = (write_videos(tmp_path / name, 2) for name in 'ab')
    index_dir = tmp_path / 'index'
    retriever.index(tmp_path / 'a', index_dir)
    first[0].unlink()  # not looked for: another folder is indexed now
    (tmp_path / 'list.txt').write_text('b/0.mp4\nb/gone.mp4\n')
    report = retriever.index(tmp_path / 'list.txt', index_dir, root=tmp_path)
    assert (report.encoded, report.total) == (1, 3)
    assert report.failed == {str(tmp_path / 'b' / 'gone.mp4'): 'file not found'}
    monkeypatch.chdir(tmp_path)
    assert retriever.index(['a', 'b'], index_dir).removed == 1
    assert {file.path for file in retriever.open(index_dir).files()} == {
        str(path) for path in (first[1], *second)
    }


@pytest.mark.parametrize(('seconds', 'kept'), [(0.0, 4), (60.0, 0)])
def test_a_killed_process_loses_no_whole_part(
    seconds, kept, retriever, videos, tmp_path, monkeypatch
) -> None:
    monkeypatch.setattr(index_parts, 'PART_SECONDS', seconds)
    process = start(retriever, videos, tmp_path / 'index', 0, 1, killed=4)
    process.join()
    assert process.exitcode == -signal.SIGKILL
    report = retriever.index(videos, tmp_path / 'index')
    assert (report.kept, report.encoded, report.total) == (kept, 7 - kept, 7)
    assert names(retriever.open(tmp_path / 'index')) == [f'{i}.mp4' for i in range(7)]


def test_an_interrupted_call_keeps_what_it_did(retriever, videos, tmp_path) -> None:
    def stop(done: int, _: int) -> None:
        if done >= 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        retriever.index(videos, tmp_path / 'index', progress=stop)
    assert retriever.index(videos, tmp_path / 'index').kept == 4


@pytest.mark.parametrize('count', [1, 2, 3])
def test_processes_share_the_work(count, retriever, videos, tmp_path, monkeypatch) -> None:
    """With one share for all (count 1) both do everything, and each video is there once."""
    monkeypatch.setattr(index_parts, 'PART_SECONDS', 0.0)
    shares = [0, 0] if count == 1 else range(count)
    running = [start(retriever, videos, tmp_path / 'index', share, count) for share in shares]
    for process in running:
        process.join()
    assert [process.exitcode for process in running] == [0] * len(running)
    report = retriever.index(videos, tmp_path / 'index')
    assert (report.encoded, report.kept, report.total) == (0, 7, 7)


def test_a_share_is_every_nth_video(retriever, videos, tmp_path) -> None:
    assert retriever.index(videos, tmp_path / 'index', shard=(1, 3)).encoded == 2
    assert names(retriever.open(tmp_path / 'index')) == ['1.mp4', '4.mp4']
    assert retriever.index(videos, tmp_path / 'index', shard=(0, 3)).total == 5


def test_workers_decode_the_same(retriever, tiny, videos, tmp_path) -> None:
    retriever.index(videos, tmp_path / 'one')
    with_workers = make(*tiny, workers=2)
    with_workers.index(videos, tmp_path / 'two')
    assert with_workers.search(QUERIES) == retriever.search(QUERIES)


def test_another_models_index_is_refused(retriever, tiny, videos, tmp_path) -> None:
    index_dir = tmp_path / 'index'
    retriever.index(videos, index_dir)
    config, _ = tiny
    other = make(config, write_weights(config, tmp_path / 'other.pth', seed=1))
    with pytest.raises(IndexMismatchError, match='weights_sha256'):
        other.index(videos, index_dir)
    scaled = config.with_name('scaled.py')
    scaled.write_text(config.read_text().replace("'mode': 'middle'", "'mode': 'start'"))
    with pytest.raises(IndexMismatchError, match=r'sampling: .*middle.* in the index, .*start'):
        make(scaled, tiny[1]).open(index_dir)
    assert len(make(*tiny, dtype='bfloat16').open(index_dir)) == 7


# ---------------------------------------------------------- models and sound


def test_audio_is_indexed_where_models_encode_it(tmp_path) -> None:
    config, weights = tiny_retrieval(tmp_path / 'model', audio=True)
    folder = tmp_path / 'videos'
    sounding = write_videos(folder, 3, sound=True)
    write_videos(folder, 1, first=7)  # silent
    heads = dict(audio='atm_head', audio_vision='avtm_head', vision='itm_head')
    for modality, head in heads.items():
        hearing = make(config, weights, modality=modality)
        report = hearing.index(folder, tmp_path / modality)
        silent = {str(folder / '7.mp4'): 'no audio track'} if modality != 'vision' else {}
        assert report.failed == silent and hearing.encoder.matching_head == head
        assert hearing.search(video=sounding[1], top_k=1)[0].path == str(sounding[1])
        assert len(hearing.search(text='a ball', top_k=2, rerank=3)) == 2
    with pytest.raises(IndexMismatchError, match='modality'):
        hearing.open(tmp_path / 'audio')


def test_both_need_a_model_trained_on_both(tmp_path) -> None:
    config, _ = tiny_retrieval(tmp_path, audio=True)
    config.write_text(config.read_text().replace("'avtc': 1.0, 'avtm': 1.0", "'avtc': 0.0"))
    with pytest.raises(ValueError, match='trained on both'):
        make(config, None, modality='audio_vision', random_weights=True)


def test_weights_are_those_that_the_config_names(tiny, tmp_path) -> None:
    config, weights = tiny
    given = make(config, weights)
    text = config.read_text()
    released = dict(type='Published', adapter='internvideo2_stage2', checkpoint=str(weights))
    own = tmp_path / 'own.py'
    own.write_text(f'{text}model.update(init_cfg={released!r})\n')
    assert make(own, None).settings['weights_sha256'] == given.settings['weights_sha256']
    beginning = released | dict(kind='stage1')
    own.write_text(f'{text}model.update(init_cfg={beginning!r})\n')
    with pytest.raises(ValueError, match='is what training starts from'):
        make(own, None)
    assert make(own, weights).settings['weights_sha256'] == given.settings['weights_sha256']
    untrained = released | dict(new_parts=['itm_head'])
    own.write_text(f'{text}model.update(init_cfg={untrained!r})\n')
    with pytest.raises(ValueError, match='itm_head is not trained'):
        make(own, None).check_matching()


def test_released_clip_models_are_made_up_of_files(tmp_path) -> None:
    config = write_retrieval_config(tmp_path, clip_model())
    state = torch.load(write_weights(config, tmp_path / 'whole.pth'))['state_dict']
    vision = {k.removeprefix('vision_encoder.'): v for k, v in state.items() if 'vision_enc' in k}
    learns = ('clip_projector', 'temp')
    trained = {name: value + 0.5 for name, value in state.items() if any(p in name for p in learns)}
    parts = dict(vision=vision, text={k: v for k, v in state.items() if 'text_enc' in k})
    for name, part in (parts | dict(trained=trained, extra=dict(temp=state['temp']))).items():
        torch.save(part, tmp_path / f'{name}.pth')
    init = dict(type='Published', adapter='internvideo2_clip', kind='stage1')
    init |= dict(checkpoint=str(tmp_path / 'vision.pth'), text=str(tmp_path / 'text.pth'))
    whole = config.with_name('whole.py')
    whole.write_text(
        f'{config.read_text()}model.update(init_cfg={init | dict(extra=str(tmp_path / "no.pth"))})'
    )
    with pytest.raises(FileNotFoundError, match=r'weights not found: .*no.pth; put them there'):
        make(whole, None)
    (tmp_path / 'extra.pth').rename(tmp_path / 'no.pth')
    expected = make(config, tmp_path / 'whole.pth').settings['weights_sha256']
    assert make(whole, None).settings['weights_sha256'] == expected
    assert make(whole, tmp_path / 'whole.pth').settings['weights_sha256'] == expected
    other = make(whole, tmp_path / 'trained.pth').encoder.model
    torch.testing.assert_close(dict(other.state_dict()), state | trained)


def test_models_without_texts_are_refused(tmp_path) -> None:
    (tmp_path / 'recognizer.py').write_text(CONFIG)
    with pytest.raises(ValueError, match='VideoRecognizer does not read texts'):
        make(tmp_path / 'recognizer.py', None, random_weights=True)


def test_it_is_registered_and_configs_without_a_loader_do(tiny, videos, tmp_path) -> None:
    config, weights = tiny
    bare = tmp_path / 'bare.py'
    bare.write_text(config.read_text().partition('test_dataloader')[0])
    built = INFERENCERS.build(
        dict(type='VideoTextRetriever', model=bare, checkpoint=weights, device='cpu', workers=0)
    )
    assert built.index(videos, tmp_path / 'index').encoded == 7
