"""internvideo reconstruct: pictures and losses of videos, clear errors."""

import json

import pytest
import torch
from mmengine.config import Config
from PIL import Image

from internvideo.cli.reconstruct import command
from internvideo.registry import MODELS
from tests.datasets.media.media_writing import write_video
from tests.paths import CONFIGS

CONFIG = CONFIGS / 'internvideo1/pretrain/tiny_synthetic.py'


@pytest.fixture
def folder(tmp_path):
    model = MODELS.build(Config.fromfile(CONFIG).model)
    torch.save(dict(state_dict=model.state_dict()), tmp_path / 'epoch_1.pth')
    return tmp_path


def call(folder, *arguments, config=CONFIG):
    words = [config, folder / 'epoch_1.pth', *arguments, '--out', folder / 'out']
    return command([str(word) for word in words])


def test_each_video_gets_a_picture_and_losses(folder, capsys):
    (folder / 'videos').mkdir()
    for name in ('a', 'b'):
        write_video(folder / 'videos' / f'{name}.mp4', range(12))
    assert call(folder, folder / 'videos', '--root', folder, '--masks', 2, '--ratio', 0.5) == 0
    rows = json.loads((folder / 'out/reconstructions.json').read_text())
    assert [row['picture'] for row in rows] == ['videos/a.png', 'videos/b.png']
    assert all(len(row['losses']) == 2 for row in rows)
    assert Image.open(folder / 'out' / rows[0]['picture']).size[0] > 8 * 72
    said = capsys.readouterr().out
    assert f'{rows[0]["losses"][1]:.4f}' in said and 'mean loss' in said
    before = [row['losses'] for row in rows]
    assert (
        call(folder, folder / 'videos/b.mp4', '--root', folder, '--masks', 2, '--ratio', 0.5) == 0
    )
    (row,) = json.loads((folder / 'out/reconstructions.json').read_text())
    assert row['losses'] == pytest.approx(before[1])


def test_a_broken_video_is_reported_and_the_others_are_drawn(folder):
    write_video(folder / 'good.mp4', range(12))
    (folder / 'bad.mp4').write_bytes(b'nothing')
    with pytest.raises(SystemExit) as leaving:
        call(folder, folder / 'bad.mp4', folder / 'good.mp4')
    assert leaving.value.code == 1
    bad, good = json.loads((folder / 'out/reconstructions.json').read_text())
    assert bad['error'] and good['losses']


@pytest.mark.parametrize(
    ('arguments', 'config', 'match'),
    [
        ((), CONFIGS / 'internvideo2/tiny_synthetic.py', 'VideoRecognizer, which reconstructs'),
        (('--ratio', 1), CONFIG, r'masker.ratio=1.0 must lie between 0 and 1'),
        (('--masks', 0), CONFIG, '--masks must be positive'),
    ],
    ids=['classifier', 'ratio', 'masks'],
)
def test_what_cannot_be_drawn_is_said(folder, capsys, arguments, config, match):
    write_video(folder / 'a.mp4', range(12))
    assert call(folder, folder / 'a.mp4', *arguments, config=config) != 0
    assert match in capsys.readouterr().err
