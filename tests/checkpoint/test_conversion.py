"""Every adapter in every direction: names go there and back bit for bit, wrong files are told."""

import json
import re

import pytest
import torch

from internvideo.checkpoint.adapters.base import (
    CheckpointAdapter,
    Direction,
    DirectionError,
    NameTable,
)
from internvideo.checkpoint.conversion import convert
from internvideo.checkpoint.files import read_state_dict, write_state_dict
from internvideo.checkpoint.loading import build_adapter
from internvideo.checkpoint.report import LoadReport
from internvideo.models.backbones.internvideo_next import InternVideoNext
from internvideo.models.backbones.uniformerv2 import UniFormerV2
from internvideo.registry import CHECKPOINT_ADAPTERS, MODELS
from tests.models.tasks.pretraining.small_models import (
    IMAGE_TOWER,
    MAE_TOWER,
    autoencoder,
    mae_classifier,
    pretraining,
)
from tests.models.tasks.retrieval.small_models import AUDIO, BERT, clip, stage2_audio, viclip
from tests.models.tasks.retrieval.test_multimodal import build as multimodal
from tests.paths import PARITY, ROOT

from .models import tiny_recognizer

MANIFESTS = {
    'internvideo2_single': ('internvideo2_S14_k400', 'internvideo2_1B_k400'),
    'internvideo2_student': ('pretrain_internvideo2_1B', 'distill_internvideo2_B14'),
    'internvl': ('internvl_6B_teacher',),
    'videomae_teacher': ('videomae_v2_g_teacher',),
    'videomae_pretrain': ('videomae_pretrain_vit_b16', 'videomae_pretrain_vit_h16'),
    'videomae_finetune': ('videomae_finetune_vit_b16_k400',),
    'internvideo2_stage2': ('stage2_visual_1b', 'stage2_audiovisual_6b'),
    'internvideo2_clip': ('clip_1b', 'clip_small_s14', 'clip_small_l14'),
    'beats': ('beats_iter3_plus',),
    'viclip': ('viclip_b16', 'viclip_l14'),
    'uniformerv2': ('uniformerv2_b16_k400_f8', 'uniformerv2_l14_336_frozen_k400_f8'),
    'internvideo_next': ('internvideo_next_base', 'internvideo_next_large'),
}
FRAMES = dict(
    type='VideoRecognizer',
    backbone=dict(type='UniFormerV2', **UniFormerV2.small()),
    head=dict(type='ClassificationHead', num_classes=5, in_dim=32),
)
TABLE = ROOT / 'docs' / 'checkpoints.md'


def adapters() -> list[str]:
    return CHECKPOINT_ADAPTERS.known_names()


def manifest(name: str) -> dict[str, torch.Tensor]:
    """A published file's entries; those that it repeats are one tensor."""
    (path,) = PARITY.glob(f'*/{name}.manifest.json')
    content = json.loads(path.read_text())
    state = {name: torch.empty(shape, device='meta') for name, shape, _ in content['state']}
    return state | {alias: state[name] for alias, name in content['facts'].get('tied', {}).items()}


def states() -> dict[str, dict[str, torch.Tensor]]:
    """A state of ours for every adapter with a way back."""
    neck = dict(type='AlignmentNeck', clip_dim=6, clip_final_dim=4)
    models = {
        'internvideo2_single': tiny_recognizer(),
        'internvideo2_student': MODELS.build(pretraining()),
        'internvl': MODELS.build(IMAGE_TOWER),
        'videomae_teacher': MODELS.build(MAE_TOWER),
        'videomae_pretrain': MODELS.build(autoencoder()),
        'videomae_finetune': MODELS.build(mae_classifier()),
        'internvideo2_stage2': stage2_audio(neck=neck, clip_layers=dict(count=2)),
        'internvideo2_clip': clip(),
        'bert': MODELS.build(BERT),
        'beats': MODELS.build(AUDIO | dict(encoder_layers=2)),
        'viclip': viclip(),
        'uniformerv2': MODELS.build(FRAMES),
        'internvideo_multimodal': multimodal(),
        'internvideo_next': InternVideoNext(**InternVideoNext.small()),
    }
    return {name: dict(model.state_dict()) for name, model in models.items()}


def same(one, two) -> bool:
    return one.keys() == two.keys() and all(torch.equal(one[name], two[name]) for name in one)


@pytest.mark.parametrize(
    ('adapter', 'name'), [(adapter, name) for adapter, names in MANIFESTS.items() for name in names]
)
def test_released_names_go_there_and_back(adapter, name):
    published, converter = manifest(name), build_adapter(adapter)
    if adapter == 'videomae_teacher':  # listed without what stands in front in pretraining files
        published = {f'encoder.{name}': tensor for name, tensor in published.items()}
    if adapter == 'uniformerv2':  # listed as those of the inner network
        published = {f'backbone.{name}': tensor for name, tensor in published.items()}
    assert converter.lacks(published) == []
    ours = converter.rename(published)
    back = converter.to_published(ours)
    assert back.keys() == published.keys()
    assert all(back[name] is published[name] for name in back)
    if converter.own_marks and ours.keys() != published.keys():
        assert converter.is_ours(ours) and not converter.is_ours(published)


@pytest.mark.parametrize('adapter', sorted(states()))
def test_files_go_there_and_back_bit_for_bit(adapter, tmp_path):
    ours = states()[adapter]
    source = write_state_dict(ours, tmp_path / 'ours.pth')
    convert(source, tmp_path / 'published.pth', 'published', adapter)
    convert(tmp_path / 'published.pth', tmp_path / 'back.safetensors', 'internvideo', adapter)
    kept = {name: tensor for name, tensor in ours.items() if name != 'teacher_digest'}
    assert same(read_state_dict(tmp_path / 'back.safetensors'), kept)
    assert list(torch.load(tmp_path / 'published.pth', weights_only=True)) == ['model']


def test_every_adapter_declares_what_it_does():
    for name in adapters():
        adapter = CHECKPOINT_ADAPTERS.get(name)
        assert issubclass(adapter, CheckpointAdapter) and Direction.FIT in adapter.directions
        assert build_adapter(name).layout == name
        if Direction.RENAME in adapter.directions:  # there is a round trip for it above
            assert name in states()


WAYS = {'published': Direction.PUBLISH, 'internvideo': Direction.RENAME}
LACKING = [
    (name, to)
    for name in adapters()
    for to, direction in WAYS.items()
    if direction not in CHECKPOINT_ADAPTERS.get(name).directions
]


@pytest.mark.parametrize(('adapter', 'to'), LACKING)
def test_what_an_adapter_lacks_is_said_with_what_it_has(adapter, to, tmp_path):
    source = write_state_dict({'x': torch.ones(1)}, tmp_path / 'x.pth')
    with pytest.raises(DirectionError, match=rf'{adapter} .*`--to {to}`.*`--to internvideo --conf'):
        convert(source, tmp_path / 'y.pth', to, adapter)
    converter = build_adapter(adapter)
    with pytest.raises(DirectionError):
        (converter.to_published if to == 'published' else converter.rename)({})


@pytest.mark.parametrize(
    ('adapter', 'to'),
    [
        (adapter, to)
        for adapter in ('internvideo2_single', 'internvideo2_student', 'internvideo2_stage2')
        for to in ('internvideo', 'published')
    ]
    + [('internvideo2_clip', 'internvideo'), ('beats', 'published'), ('bert', 'published')]
    + [('uniformerv2', 'internvideo'), ('uniformerv2', 'published')],
)
def test_a_converted_file_is_not_converted_again(adapter, to, tmp_path):
    state = states()[adapter]
    if to == 'published':
        state = build_adapter(adapter).to_published(state)
    source = write_state_dict(state, tmp_path / 'x.pth')
    layout = 'internvideo' if to == 'internvideo' else f'the published layout {adapter}'
    with pytest.raises(ValueError, match=rf'x\.pth has the names of {layout} already'):
        convert(source, tmp_path / 'y.pth', to, adapter)
    assert not (tmp_path / 'y.pth').exists()


@pytest.mark.parametrize('to', ['internvideo', 'published'])
@pytest.mark.parametrize('adapter', sorted(states()))
def test_a_file_of_something_else_is_told(adapter, to, tmp_path):
    source = write_state_dict({'layer1.0.conv1.weight': torch.ones(1)}, tmp_path / 'x.pth')
    with pytest.raises(ValueError, match=rf'x\.pth is not of the layout {adapter}: .*layer1'):
        convert(source, tmp_path / 'y.pth', to, adapter)
    assert not (tmp_path / 'y.pth').exists()


def test_a_file_of_another_layout_is_recognised(tmp_path):
    state = build_adapter('internvideo2_stage2').to_published(states()['internvideo2_stage2'])
    source = write_state_dict(state, tmp_path / 'x.pth')
    with pytest.raises(ValueError, match=r'of the layout .*internvideo2_stage2'):
        convert(source, tmp_path / 'y.pth', 'internvideo')


def test_existing_files_stay_unless_asked_for(tmp_path):
    source = write_state_dict(tiny_recognizer().state_dict(), tmp_path / 'x.pth')
    before = source.read_bytes()
    with pytest.raises(FileExistsError, match=r'x\.pth exists.*--overwrite'):
        convert(source, source, 'published')
    assert source.read_bytes() == before
    (tmp_path / 'y.pth').mkdir()
    with pytest.raises(IsADirectoryError, match=r'y\.pth is a folder'):
        convert(source, tmp_path / 'y.pth', 'published')
    convert(source, source, 'published', overwrite=True)
    assert 'cls_token' in read_state_dict(source)


def test_a_model_without_the_parts_of_a_layout_is_named(tmp_path):
    source = write_state_dict({'x': torch.ones(1)}, tmp_path / 'x.pth')
    reason = 'VideoRecognizer has no vision_encoder, text_encoder, which .* internvideo2_stage2'
    with pytest.raises(ValueError, match=reason):
        convert(
            source,
            tmp_path / 'y.pth',
            'internvideo',
            'internvideo2_stage2',
            build_model=tiny_recognizer,
        )


def test_a_table_of_names_takes_the_longest_beginning():
    table = NameTable(('a.', 'x.'), ('a.b.', 'y.'), ('', 'rest.'), ('', 'other.'))
    names = {'a.c': 'x.c', 'a.b.c': 'y.c', 'd': 'rest.d'}
    assert {name: table.to_ours(name) for name in names} == names
    assert {table.to_published(ours): ours for ours in names.values()} == names
    assert table.to_published('other.e') == 'e' and table.to_published('f') == 'f'


def test_the_layout_of_the_docs_goes_there_and_back():
    (example,) = re.findall(r'```python\n(from [^`]*my_family[^`]*)```', TABLE.read_text())
    try:
        exec(example, {})
        adapter = build_adapter('my_family')
        names = {'visual.blocks.0.x': 'backbone.blocks.0.x', 'fc.weight': 'head.head.weight'}
        published = {name: torch.ones(1) for name in names}
        model, report = tiny_recognizer(), LoadReport()
        ours = adapter.to_ours(published | {'ema.x': torch.ones(1)}, model, report)
        assert set(ours) == set(names.values()) and report.left_over == ['ema.x']
        assert same(adapter.to_published(ours), published)
        assert adapter.lacks(['fc.weight']) == ['visual.blocks.'] and adapter.is_ours(ours)
    finally:
        CHECKPOINT_ADAPTERS.module_dict.pop('my_family')


def test_the_table_of_the_docs_is_that_of_the_registry():
    rows = re.findall(
        r'^\| `(\w+)` \|.*\| (yes|no) \| (yes|no) \| (yes|no) \|$', TABLE.read_text(), re.M
    )
    told = {name: tuple(cells) for name, *cells in rows}
    assert told == {
        name: tuple(
            'yes' if direction in CHECKPOINT_ADAPTERS.get(name).directions else 'no'
            for direction in (Direction.RENAME, Direction.FIT, Direction.PUBLISH)
        )
        for name in adapters()
    }
