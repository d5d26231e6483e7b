import re
import subprocess
import sys

import pytest
import torch

from internvideo.checkpoint.files import read_frame_sampling, read_state_dict, write_state_dict
from internvideo.cli.convert import command
from internvideo.structures.frame_sampling import FrameSampling
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
FRAMES = FrameSampling(
    dict(type='UniformSample', num_frames=16, mode='val'),
    (dict(type='Resize', short_side=28), dict(type='PackInputs')),
)


def convert(*args):
    done = subprocess.run([sys.executable, TOOL, *args], capture_output=True, text=True)
    return done.returncode, done.stdout + done.stderr


def convert_here(*args):
    """The same in this process, for what does not build a model (which sets the global scope)."""
    return command([*map(str, args)])


def test_renaming_there_and_back_is_bitwise(tmp_path):
    state = published_state(tiny_recognizer())
    source = write_state_dict(state, tmp_path / 'a.pth', 'model', FRAMES.to_dict())
    ours, back = tmp_path / 'ours.pth', tmp_path / 'back.safetensors'
    assert convert_here(source, ours, '--to', 'internvideo') == 0
    assert set(read_state_dict(ours)) == set(tiny_recognizer().state_dict())
    assert convert_here(ours, back, '--to', 'published') == 0
    result = read_state_dict(back)
    assert set(result) == set(state) and all(torch.equal(result[k], state[k]) for k in state)
    assert read_frame_sampling(ours) == read_frame_sampling(back) == FRAMES


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


@pytest.mark.parametrize(
    ('source', 'options', 'reason'),
    [
        ('no.pth', (), r'checkpoint .*no\.pth does not exist'),
        ('text.pth', (), r'checkpoint .*text\.pth is truncated, damaged or no checkpoint: .*'),
        (
            'a.pth',
            ('--adapter', 'internvideo2_singel'),
            r"'internvideo2_singel' is not .*did you.*",
        ),
        ('a.pth', ('--adapter', 'bert_decoder'), r'adapter bert_decoder does not convert .*'),
        ('a.pth', ('--config', 'no.py'), r'config not found: .*no\.py.*'),
        ('a.pth', ('--config', 'empty.py'), r'.*empty\.py has no `model`'),
    ],
)
def test_bad_input_ends_in_one_line(tmp_path, capsys, source, options, reason):
    (tmp_path / 'text.pth').write_text('no checkpoint')
    (tmp_path / 'empty.py').write_text('')
    write_state_dict(published_state(tiny_recognizer()), tmp_path / 'a.pth', container='model')
    options = [tmp_path / text if text == 'empty.py' else text for text in options]
    args = (tmp_path / source, tmp_path / 'x.pth', '--to', 'internvideo', *options)
    assert convert_here(*args) == 1
    assert re.fullmatch(f'error: {reason}\n', capsys.readouterr().err)
    assert not (tmp_path / 'x.pth').exists()
