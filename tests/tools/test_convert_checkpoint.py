import runpy
import subprocess
import sys

import torch

from internvideo.checkpoint.files import read_state_dict, write_state_dict
from tests.checkpoint.models import published_state, tiny_recognizer
from tests.paths import TOOLS

TOOL = TOOLS / 'convert_checkpoint.py'

CONFIG = """
model = dict(
    type='VideoRecognizer',
    backbone=dict(
        type='InternVideo2', arch=None, embed_dim=16, depth=2, num_heads=2, mlp_ratio=2.0,
        img_size=28, num_frames=16, attn_pool_num_heads=2, clip_embed_dim=8),
    head=dict(type='ClassificationHead', num_classes=400, in_dim=8))
"""


def convert(*args):
    done = subprocess.run([sys.executable, TOOL, *args], capture_output=True, text=True)
    return done.returncode, done.stdout + done.stderr


def convert_here(monkeypatch, *args):
    """The same in this process, for what does not build a model (which sets the global scope)."""
    monkeypatch.setattr(sys, 'argv', [str(TOOL), *map(str, args)])
    return runpy.run_path(str(TOOL))['main']()


def test_renaming_there_and_back_is_bitwise(tmp_path, monkeypatch):
    state = published_state(tiny_recognizer())
    source = write_state_dict(state, tmp_path / 'a.pth', container='model')
    ours, back = tmp_path / 'ours.pth', tmp_path / 'back.safetensors'
    assert convert_here(monkeypatch, source, ours, '--to', 'internvideo') == 0
    assert set(read_state_dict(ours)) == set(tiny_recognizer().state_dict())
    assert convert_here(monkeypatch, ours, back, '--to', 'published') == 0
    result = read_state_dict(back)
    assert set(result) == set(state) and all(torch.equal(result[k], state[k]) for k in state)


def test_config_checks_and_adapts(tmp_path):
    source = write_state_dict(published_state(tiny_recognizer(710)), tmp_path / 'a.pth')
    config, ours = tmp_path / 'model.py', tmp_path / 'ours.safetensors'
    config.write_text(CONFIG)
    args = (source, ours, '--to', 'internvideo', '--config', config)
    status, text = convert(*args)
    assert status == 1 and 'another class count: 710' in text and not ours.exists()
    status, text = convert(*args, '--options', 'head=remap')
    assert status == 0 and 'backbone.pos_embed: 1x33x16 -> 1x65x16' in text
    assert read_state_dict(ours)['head.head.bias'].shape == (400,)


def test_bad_input_ends_in_one_line(tmp_path, monkeypatch, capsys):
    missing = tmp_path / 'no.pth'
    assert convert_here(monkeypatch, missing, tmp_path / 'x.pth', '--to', 'published') == 1
    assert capsys.readouterr().err == f'error: checkpoint {missing} does not exist\n'
