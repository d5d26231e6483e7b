"""Bad lists, media, configs and checkpoints through the command line, on generated mp4 files."""

import json
import threading
from pathlib import Path

import pytest

from internvideo.datasets.synthetic import make_world
from tests.tools.test_cli import TEST, TRAIN, call
from tests.tools.test_cli_recognition import CONFIG, SHORT

BROKEN = {'truncated', 'audio_only', 'zero_frames', 'text', 'empty', 'gone'}


@pytest.fixture(scope='module')
def root(tmp_path_factory):
    """A small generated world and a checkpoint trained on it."""
    root = tmp_path_factory.mktemp('bad_input')
    sizes = dict(num_train=16, num_val=5, num_test=5)
    make_world(root / 'data/synthetic', size=40, num_frames=12, workers=0, **sizes)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv('INTERNVIDEO2_DATA_PATH', str(root / 'data'))
        assert call(TRAIN, CONFIG, '--work-dir', root / 'run', '--cfg-options', *SHORT) == 0
    return root


@pytest.fixture
def run(root, tmp_path, monkeypatch, capsys):
    """Call a tool on the tiny config; gives the exit code and what it wrote to stderr."""
    monkeypatch.setenv('INTERNVIDEO2_DATA_PATH', str(root / 'data'))
    monkeypatch.chdir(tmp_path)

    def run(tool, *arguments, options=()):
        where = ['--work-dir', tmp_path / 'run', '--cfg-options', *SHORT, *options]
        return call(tool, CONFIG, *arguments, *where), capsys.readouterr().err

    return run


@pytest.fixture
def broken_list(root, media, tmp_path):
    """A list of good clips among one of every broken kind."""
    good = sorted((root / 'data/synthetic/recognition/videos/train').glob('*.mp4'))[:8]
    broken = [media / f'{name}.mp4' for name in sorted(BROKEN)]
    rows = [f'{path},{row % 8}' for row, path in enumerate([*good, *broken])]
    file = tmp_path / 'mixed.csv'
    file.write_text('\n'.join(rows))
    return file


DATA = 'train_dataloader.dataset.'
LISTS = [
    (None, 'annotation file not found: list.csv'),
    ('', 'annotation file is empty: list.csv'),
    ('a.mp4,1\nb.mp4,8\n', 'list.csv:2: label 8 is not in 0..7'),
    ('a.mp4,1\nb.mp4,-1\n', 'list.csv:2: label -1 is not in 0..7'),
    ('a.mp4,walk\n', "list.csv:1: column 'label' is not a number: 'walk'"),
    ('a.mp4 1\n', "list.csv:1: expected 2 columns ('path', 'label') separated by ','"),
    ('gone.mp4,1\n' * 8, 'could not be read; last: /'),
]


@pytest.mark.parametrize(('text', 'message'), LISTS)
def test_lists(run, text, message):
    if text is not None:
        Path('list.csv').write_text(text)
    code, error = run(TRAIN, options=[f'{DATA}ann_file=list.csv'])
    assert (code, error.count('\n')) == (1, 1)
    assert message in error


FIELDS = [
    ('model.backbone.type=InternVideo3', 'did you mean InternVideo2'),
    ('train_dataloader.dataset.pipeline.1.type=Shuffle', "'Shuffle' is not a registered transform"),
    ('train_cfg.max_epochs=0', 'train_cfg.max_epochs must be at least 1, got 0'),
    (f'{DATA}backend=ffmpeg', "unknown backend 'ffmpeg'; known: decord, torchcodec"),
    (f'{DATA}sampling.num_frames=16', 'num_frames=8 and img_size=(32, 32)'),
    (f'{DATA}pipeline.0.size=48', 'num_frames=8 and img_size=(32, 32)'),
    ('model.head.num_classes=1', 'is not in [0, num_classes=1)'),
    ('model.backbone.patch_size=7', 'img_size=(32, 32) by patch_size=7'),
    ('visualizer.vis_backends.0.type=WandbVisBackend', 'pip install wandb'),
    ('model.init_cfg.checkpoint=gone.pth', 'gone.pth does not exist: put it there'),
]


@pytest.mark.parametrize(('option', 'message'), FIELDS)
def test_fields(run, monkeypatch, option, message):
    if 'Wandb' in option:
        monkeypatch.setitem(__import__('sys').modules, 'wandb', None)
    options = ['+model.init_cfg.type=Published', option.replace('model.init', '+model.init')]
    code, error = run(TRAIN, options=options if 'init_cfg' in option else [option])
    assert (code, error.count('\n')) == (1, 1)
    assert message in error


def test_broken_media_are_replaced_in_training(run, broken_list):
    options = [f'{DATA}ann_file={broken_list}', f'+{DATA}max_bad_share=0.9']
    assert run(TRAIN, options=options) == (0, '')
    lines = [json.loads(line) for line in Path('run/bad_samples.jsonl').read_text().splitlines()]
    assert {Path(line['path']).stem for line in lines} == BROKEN
    assert all(line['reason'] for line in lines)


def test_broken_media_are_counted_in_testing(root, run, broken_list):
    options = [f'test_dataloader.dataset.ann_file={broken_list}']
    out = ['--out', 'predictions.json']
    assert run(TEST, root / 'run/epoch_1.pth', *out, options=options) == (0, '')
    records = json.loads(Path('predictions.json').read_text())
    unreadable = {Path(record['path']).stem for record in records if record['unreadable']}
    assert unreadable == BROKEN
    assert len(Path('run/unreadable_test_videos.jsonl').read_text().splitlines()) == len(BROKEN)


@pytest.mark.parametrize('workers', [0, 1])
def test_too_many_broken_files_stop_the_training(run, media, workers):
    good, bad = media / 'good.mp4', media / 'text.mp4'
    Path('list.csv').write_text(f'{good},1\n' * 60 + f'{bad},1\n' * 60)
    options = [f'{DATA}ann_file=list.csv', f'+{DATA}max_bad_share=0.2']
    options += [f'train_dataloader.num_workers={workers}']
    code, error = run(TRAIN, options=options)
    assert (code, error.count('\n')) == (1, 1)
    assert 'more than max_bad_share=0.2' in error and 'run/bad_samples.jsonl' in error
    watchers = [thread for thread in threading.enumerate() if '_watch' in thread.name]
    for thread in watchers:
        thread.join(timeout=5)
    assert not any(thread.is_alive() for thread in watchers)


def test_more_frames_than_a_clip_has_repeat(run):
    parts = ('train', 'val')
    options = [f'{part}_dataloader.dataset.sampling.num_frames=16' for part in parts]
    assert run(TRAIN, options=['model.backbone.num_frames=16', *options]) == (0, '')


def test_folder_with_fewer_frames_than_listed(run, media):
    Path('list.csv').write_text(f'{media / "frames"} 12 1\n' * 8 + f'{media / "frames"} 40 1\n')
    columns = f'+{DATA}columns=path,total_frames,label'
    options = [f'{DATA}ann_file=list.csv', f'{DATA}backend=frames', columns, f'{DATA}delimiter= ']
    assert run(TRAIN, options=[*options, f'+{DATA}max_bad_share=0.9']) == (0, '')
    line = json.loads(Path('run/bad_samples.jsonl').read_text().splitlines()[0])
    assert 'is missing' in line['reason'] and line['path'] == str(media / 'frames')


OTHERS = [
    (['model.backbone.depth=2'], 'the checkpoint has embed_dim=96, depth=3'),
    (['model.backbone.num_frames=16'], 'another frame count or resolution'),
    (['model.backbone.img_size=64'], 'another frame count or resolution'),
    (['model.head.num_classes=9'], 'another class count: 8 in the checkpoint, 9 in the model'),
]


@pytest.mark.parametrize(('options', 'message'), OTHERS)
def test_checkpoint_of_another_model(root, run, options, message):
    code, error = run(TEST, root / 'run/epoch_1.pth', options=options)
    assert code == 1 and 'Traceback' not in error
    assert 'epoch_1.pth does not fit' in error and message in error


def test_torn_checkpoint(root, run):
    whole = (root / 'run/epoch_1.pth').read_bytes()
    Path('torn.pth').write_bytes(whole[: len(whole) // 2])
    code, error = run(TEST, 'torn.pth')
    assert (code, error.count('\n')) == (1, 1)
    assert 'torn.pth is truncated' in error


def test_published_files_and_pickles(root, run, capsys):
    import argparse

    import torch

    from internvideo.checkpoint import read_state_dict
    from internvideo.registry import CHECKPOINT_ADAPTERS

    own = read_state_dict(root / 'run/epoch_1.pth')
    state = CHECKPOINT_ADAPTERS.get('internvideo2_single')().to_published(own)
    torch.save(dict(module=state, args=argparse.Namespace()), 'published.pth')
    options = ['+model.init_cfg.type=Published']
    code, error = run(TEST, 'published.pth', options=options)
    assert code == 1 and '--trusted-pickle' in error and 'published.pth' in error
    assert run(TEST, 'published.pth', '--trusted-pickle', options=options) == (0, '')
    code, error = run(TEST, 'published.pth', '--trusted-pickle')
    assert code == 1 and 'the checkpoint is in another layout' in error
