"""Released InternVideo-Next encoders: full-size layout both ways, prefix, float16, resizing."""

import json

import pytest
import torch
from safetensors.torch import save_file

from internvideo.apis import get_encoder
from internvideo.checkpoint.adapters.internvideo_next import InternVideoNextAdapter
from internvideo.checkpoint.loading import load_pretrained
from internvideo.checkpoint.report import CheckpointMismatchError, LoadReport
from internvideo.models.backbones.internvideo_next import InternVideoNext
from internvideo.registry import MODELS
from internvideo.verification.encoder_checks import build
from tests.paths import PARITY

SIZES = {'base': 91_017_804, 'large': 311_034_188}


def on_meta(config):
    with torch.device('meta'):
        return MODELS.build(config)


def manifest(name):
    path = PARITY / 'internvideo_next' / f'{name}.manifest.json'
    content = json.loads(path.read_text())
    return {key: torch.empty(shape, device='meta') for key, shape, _ in content['state']}


def shapes(state):
    return {name: tuple(tensor.shape) for name, tensor in state.items()}


@pytest.mark.parametrize('size', SIZES)
def test_released_layouts_go_both_ways(size):
    encoder, published = (
        on_meta(dict(type='InternVideoNext', arch=size)),
        manifest(f'internvideo_next_{size}'),
    )
    assert sum(p.numel() for p in encoder.parameters()) == SIZES[size]
    adapter, report = InternVideoNextAdapter(), LoadReport()
    released = {f'model.{name}': tensor for name, tensor in published.items()}
    assert shapes(adapter.to_ours(released, encoder, report)) == shapes(encoder.state_dict())
    assert not (report.reshaped or report.new or report.left_over)
    assert shapes(adapter.to_published(encoder.state_dict())) == shapes(published)


def released_file(encoder, path, **changes):
    """A file as the hub has it: prefix and float16."""
    state = {f'model.{k}': v.half().contiguous() for k, v in encoder.state_dict().items()}
    save_file({k: v for k, v in (state | changes).items() if v is not None}, str(path))
    return path


def test_a_released_file_fills_an_encoder_by_name(tmp_path):
    small = {k: v for k, v in InternVideoNext.small().items() if k != 'arch'}
    small |= dict(embed_dim=32, depth=2, num_heads=2, mlp_ratio=2.0)
    source = build(InternVideoNext)
    path = released_file(source, tmp_path / 'model.safetensors')
    encoder = get_encoder('internvideo_next_base_p14_res224_f16', str(path), **small)
    for name, value in encoder.state_dict().items():
        assert value.dtype == torch.float32
        torch.testing.assert_close(value, source.state_dict()[name].half().float())


def test_a_recogniser_gets_the_encoder_and_keeps_its_own_head(tmp_path):
    path = released_file(build(InternVideoNext), tmp_path / 'model.safetensors')
    backbone = dict(type='InternVideoNext') | InternVideoNext.small(num_frames=8)
    head = dict(type='ClassificationHead', num_classes=5, in_dim=24)
    model = MODELS.build(dict(type='VideoRecognizer', backbone=backbone, head=head))
    report = load_pretrained(model, path, 'internvideo_next')
    assert report.new and all(name.startswith('head.') for name in report.new)
    assert list(report.reshaped) == ['backbone.pos_embed']
    assert report.reshaped['backbone.pos_embed'] == ((1, 20, 32), (1, 36, 32))


def test_the_pooling_of_a_file_is_left_over_where_there_is_none(tmp_path):
    path = released_file(build(InternVideoNext), tmp_path / 'model.safetensors')
    encoder = InternVideoNext(**InternVideoNext.small(clip_embed_dim=None))
    report = load_pretrained(encoder, path, 'internvideo_next')
    assert all(name.startswith('clip_projector.') for name in report.left_over)
    assert len(report.left_over) == 14


@pytest.mark.parametrize(
    'changes',
    [
        {'model.patch_embed.norm_before.weight': None},
        {'model.blocks.1.ls1.gamma': None},
        {'model.blocks.9.ls1.gamma': torch.ones(32)},
        {'model.cls_token': torch.ones(1, 1, 32)},
        {'model.head.weight': torch.ones(2, 32)},
    ],
    ids=str,
)
def test_a_file_that_fits_by_half_is_refused(changes, tmp_path):
    encoder = build(InternVideoNext)
    path = released_file(encoder, tmp_path / 'model.safetensors', **changes)
    (name,) = changes
    with pytest.raises(CheckpointMismatchError, match=name.removeprefix('model.').split('.')[0]):
        load_pretrained(encoder, path, 'internvideo_next')


def test_a_model_of_another_family_is_named(tmp_path):
    model = MODELS.build(dict(type='InternVideo2') | InternVideoNext.small())
    path = released_file(build(InternVideoNext), tmp_path / 'model.safetensors')
    with pytest.raises(ValueError, match='no InternVideo-Next encoder'):
        load_pretrained(model, path, 'internvideo_next')


# --- training stages -----------------------------------------------------------------------------


def stage_model(stage, size, layers=6):
    backbone = dict(type='InternVideoNext', arch=size)
    if stage == 'stage1':
        return on_meta(
            dict(
                type='InternVideoNextStage1',
                backbone=backbone,
                decoder=dict(width=1536, depth=6),
                clip_layers=dict(count=layers),
            )
        )
    masker = dict(type='RandomMask', ratio=0.5)
    return on_meta(dict(type='InternVideoNextStage2', backbone=backbone, maskers=[masker]))


@pytest.mark.parametrize('size', ['base', 'large', '1b'])
@pytest.mark.parametrize('stage', ['stage1', 'stage2'])
def test_layouts_of_the_stages_go_both_ways(stage, size):
    published = manifest(f'internvideo_next_{stage}_{size}')
    model, adapter, report = (
        stage_model(stage, size.upper() if size == '1b' else size),
        *(
            InternVideoNextAdapter(),
            LoadReport(),
        ),
    )
    state = adapter.to_ours(published, model, report)
    report.compare(shapes(state), shapes(model.state_dict()))
    assert report.explained and not report.reshaped
    # The target and what counts its steps are no part of the published files.
    assert all(name.startswith(('teacher.', 'progress')) for name in report.new)
    assert len(report.left_over) == 3 and all('bert_decoder' in n for n in report.left_over)
    back = shapes(adapter.to_published(model.state_dict()))
    assert back == {n: s for n, s in shapes(published).items() if n not in report.left_over}


def test_a_file_of_the_first_stage_starts_the_second():
    model, report = stage_model('stage2', 'base'), LoadReport()
    state = InternVideoNextAdapter().to_ours(
        manifest('internvideo_next_stage1_base'), model, report
    )
    report.compare(shapes(state), shapes(model.state_dict()))
    assert report.explained
    assert {name.split('.')[0] for name in report.new} == {
        *('selfdist_decoder', 'selfdist_normproj_decoder', 'selfdist_proj_clip'),
        *('teacher', 'progress'),
    }
    parts = {name.split('.')[0] for name in report.left_over}
    assert parts == {'clip_decoder', 'final_clip_decoder', 'diffloss', 'bert_decoder'}


def test_the_encoder_of_a_stage_is_taken_alone():
    encoder, report = on_meta(dict(type='InternVideoNext', arch='base')), LoadReport()
    published = manifest('internvideo_next_stage1_base')
    state = InternVideoNextAdapter().to_ours(published, encoder, report)
    assert shapes(state) == shapes(encoder.state_dict())


def test_a_released_encoder_does_not_pass_for_a_stage():
    model, report = stage_model('stage2', 'base'), LoadReport()
    state = InternVideoNextAdapter().to_ours(manifest('internvideo_next_base'), model, report)
    report.compare(shapes(state), shapes(model.state_dict()))
    assert {'bert_mask_token', 'diff_pos_embed', 'clip_pos_embed'} <= set(report.missing)
