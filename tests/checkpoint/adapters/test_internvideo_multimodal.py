"""Files of the multimodal model: names of both sizes both ways, parts that differ, other widths."""

import json

import pytest
import torch

from internvideo.checkpoint import LoadReport
from internvideo.checkpoint.adapters.internvideo_multimodal import MultimodalAdapter
from internvideo.checkpoint.files import read_state_dict, write_state_dict
from internvideo.checkpoint.loading import load_pretrained
from internvideo.checkpoint.report import CheckpointMismatchError
from internvideo.registry import MODELS
from tests.models.tasks.retrieval.test_multimodal import VISION, batch, build
from tests.paths import PARITY

FOLDER = PARITY / 'internvideo1_pretrain'
SIZES = dict(
    b16=(
        dict(arch='base', patch_size=16, global_layers=[8, 9, 10, 11]),
        dict(embed_dim=512, width=512, heads=8),
        178_066_433,
    ),
    l14=(
        dict(arch='large', patch_size=14, global_layers=[20, 21, 22, 23]),
        dict(embed_dim=768, width=768, heads=12),
        478_127_105,
    ),
)


def manifest(name):
    state = json.loads((FOLDER / f'{name}.manifest.json').read_text())['state']
    return {name: torch.empty(shape, device='meta') for name, shape, _ in state}


def shapes(state):
    return {name: tuple(tensor.shape) for name, tensor in state.items()}


@pytest.mark.parametrize('size', SIZES)
def test_published_sizes_go_both_ways(size):
    vision, text, number = SIZES[size]
    with torch.device('meta'):
        model = MODELS.build(
            dict(
                type='InternVideoMultimodal',
                vision_encoder=dict(type='UniFormerV2', **vision),
                text_encoder=dict(type='CLIPText', mask_embedding=True, **text),
            )
        )
    assert sum(p.numel() for p in model.parameters()) == number
    published = {f'clip.{name}': v for name, v in manifest(f'internvideo_mm_{size}').items()}
    adapter, report = MultimodalAdapter(), LoadReport()
    assert shapes(adapter.to_ours(published, model, report)) == shapes(model.state_dict())
    assert not (report.reshaped or report.new or report.left_over)
    assert shapes(adapter.to_published(model.state_dict())) == shapes(published)


@pytest.fixture
def released(tmp_path):
    """A file of the small model in the published layout, and the model."""
    model = build()
    path = tmp_path / 'multimodal.pth'
    write_state_dict(MultimodalAdapter().to_published(model.state_dict()), path)
    return path, model


def test_a_file_lies_under_state_dict_with_prefixes(released):
    path, model = released
    names = set(torch.load(path)['state_dict'])
    assert {name.split('.')[0] for name in names} == {'clip', 'caption_decoder'}
    assert {'clip.visual.conv1.weight', 'clip.logit_scale', 'clip.ln_final.bias'} <= names
    other = build(logit_scale=1.0)
    report = load_pretrained(other, path, 'internvideo_multimodal')
    assert not (report.new or report.left_over)
    torch.testing.assert_close(other.eval()(batch()), model.eval()(batch()))


def test_momentum_towers_and_queues_are_new_and_not_published(released):
    model = build(queue=dict(queue_size=8))
    report = load_pretrained(model, released[0], 'internvideo_multimodal')
    assert {name.split('.')[0] for name in report.new} == {'momentum_towers', 'queued'}
    published = MultimodalAdapter().to_published(model.state_dict())
    assert published.keys() == read_state_dict(released[0]).keys()


def test_a_model_without_decoder_leaves_it_over(released):
    report = load_pretrained(build(caption_decoder=None), released[0], 'internvideo_multimodal')
    assert all(name.startswith('caption_decoder.') for name in report.left_over)


def test_a_file_of_the_towers_needs_leave_for_a_new_decoder(tmp_path):
    path = tmp_path / 'towers.pth'
    towers = build(caption_decoder=None)
    write_state_dict(MultimodalAdapter().to_published(towers.state_dict()), path)
    with pytest.raises(CheckpointMismatchError, match='missing in the checkpoint: caption_decoder'):
        load_pretrained(build(), path, 'internvideo_multimodal')
    report = load_pretrained(build(), path, 'internvideo_multimodal', new_parts=['caption_decoder'])
    assert all(name.startswith('caption_decoder.') for name in report.new)
    with pytest.raises(ValueError, match='the model has no audio'):
        load_pretrained(build(), path, 'internvideo_multimodal', new_parts=['audio'])


def test_the_table_of_patches_is_resized(released):
    finer = build(vision_encoder=VISION | dict(img_size=32))
    report = load_pretrained(finer, released[0], 'internvideo_multimodal')
    name = 'vision_encoder.positional_embedding'
    assert report.reshaped == {name: ((5, 24), (17, 24))}


def test_another_width_is_named(released):
    arch = dict(embed_dim=32, depth=2, num_heads=2, mlp_ratio=2.0)
    wide = build(vision_encoder=VISION | dict(arch=arch), caption_decoder=None)
    with pytest.raises(CheckpointMismatchError, match=r'checkpoint is 24 wide.* of the model 32'):
        load_pretrained(wide, released[0], 'internvideo_multimodal')


def test_unknown_entries_are_not_passed_over(released, tmp_path):
    state = read_state_dict(released[0])
    state['clip.visual.transformer.extra'] = torch.zeros(1)
    write_state_dict(state, tmp_path / 'odd.pth')
    with pytest.raises(CheckpointMismatchError, match='unexpected'):
        load_pretrained(build(), tmp_path / 'odd.pth', 'internvideo_multimodal')


def test_a_clip_file_is_not_taken_for_one():
    assert MultimodalAdapter().lacks(['visual.conv1.weight', 'token_embedding.weight'])
    assert not MultimodalAdapter().lacks(manifest('internvideo_mm_b16'))
