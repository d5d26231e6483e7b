import argparse

import pytest
import torch

from internvideo.checkpoint import (
    CheckpointMismatchError,
    export_published,
    load_checkpoint,
    load_pretrained,
    read_state_dict,
)
from internvideo.checkpoint.adapters.kinetics import k710_rows
from internvideo.checkpoint.files import write_state_dict
from tests.checkpoint.models import published_state, tiny_recognizer


@pytest.fixture
def published(tmp_path):
    """Writes a published file (of the tiny model unless given) and returns its path and state."""

    def write(state=None, name='published.pth', **fields):
        state = published_state(tiny_recognizer(**fields)) if state is None else state
        return write_state_dict(state, tmp_path / name, container='module'), state

    return write


def test_every_entry_lands_where_it_belongs(published):
    path, state = published()
    model = tiny_recognizer()
    report = load_pretrained(model, path)
    assert len(report.matched) == len(state) and report.explained and not report.new
    ours = model.state_dict()
    assert torch.equal(ours['head.head.weight'], state['head.weight'])
    assert torch.equal(ours['backbone.blocks.1.mlp.fc2.bias'], state['blocks.1.mlp.fc2.bias'])


@pytest.mark.parametrize('name', ['out.pth', 'out.safetensors'])
def test_published_round_trip_is_bitwise(published, tmp_path, name):
    path, state = published()
    model = tiny_recognizer()
    load_pretrained(model, path)
    exported = read_state_dict(export_published(model, tmp_path / name))
    assert set(exported) == set(state)
    assert all(torch.equal(exported[key], state[key]) for key in state)


@pytest.mark.parametrize(
    'head', [dict(type='AttentiveProbeHead'), dict(type='ConcatProbeHead', embed_dim=16)]
)
def test_pretraining_file_gives_a_probe_its_encoder(published, head):
    state = published_state(tiny_recognizer())
    state = {k: v for k, v in state.items() if not k.startswith(('head.', 'fc_norm.'))}
    extra = ('clip_decoder.0.head.weight', 'mae_pos_embed', 'final_clip_decoder.norm.bias')
    path, _ = published(state | {name: torch.zeros(2) for name in extra})
    model = tiny_recognizer(head=head)
    report = load_pretrained(model, path)
    assert report.left_over == list(extra)
    assert report.new == [name for name in model.state_dict() if name.startswith('head.')]


@pytest.mark.parametrize('num_classes', [400, 600, 700])
def test_k710_head_is_remapped(published, num_classes):
    path, state = published(num_classes=710)
    model = tiny_recognizer(num_classes)
    report = load_pretrained(model, path, head='remap')
    assert torch.equal(model.head.head.bias, state['head.bias'][k710_rows(num_classes)])
    assert report.reshaped['head.head.weight'] == ((710, 8), (num_classes, 8))


@pytest.mark.parametrize(('rows', 'num_classes'), [(710, 12), (600, 400)])
def test_a_head_without_a_class_map_is_refused(published, rows, num_classes):
    path, _ = published(num_classes=rows)
    reason = f'another class count: {rows} in the checkpoint, {num_classes} in the model.*reset'
    with pytest.raises(CheckpointMismatchError, match=reason):
        load_pretrained(tiny_recognizer(num_classes), path, head='remap')


def test_reset_keeps_the_new_head_and_loads_the_rest(published):
    path, state = published(num_classes=710)
    model = tiny_recognizer(6)
    before = model.head.head.weight.clone()
    report = load_pretrained(model, path, head='reset')
    assert report.new == ['head.head.weight', 'head.head.bias']
    assert torch.equal(model.head.head.weight, before)
    assert torch.equal(model.head.fc_norm.weight, state['fc_norm.weight'])


def test_bare_encoder_takes_the_encoder_of_a_classifier(published):
    path, state = published()
    encoder = tiny_recognizer().backbone
    report = load_pretrained(encoder, path)
    assert report.left_over == [k for k in state if k.startswith(('fc_norm.', 'head.'))]
    assert torch.equal(encoder.cls_token, state['cls_token'])


@pytest.mark.parametrize('sep_pos_embed', [False, True])
@pytest.mark.parametrize(
    'size', [dict(num_frames=16), dict(img_size=42), dict(num_frames=4, img_size=(42, 28))]
)
def test_position_tables_follow_the_model(published, size, sep_pos_embed):
    path, _ = published(sep_pos_embed=sep_pos_embed)
    model = tiny_recognizer(sep_pos_embed=sep_pos_embed, **size)
    report = load_pretrained(model, path)
    assert report.reshaped and all('pos_embed' in name for name in report.reshaped)
    with pytest.raises(CheckpointMismatchError, match='frame count or resolution'):
        load_pretrained(model, path, interpolate=False)


@pytest.mark.parametrize('center_init', [True, False])
def test_patch_kernel_follows_the_tubelet(published, center_init):
    path, state = published()
    model = tiny_recognizer(tubelet_size=2, num_frames=16)
    load_pretrained(model, path, center_init=center_init)
    kernel = model.backbone.patch_embed.proj.weight
    torch.testing.assert_close(kernel.sum(2), state['patch_embed.proj.weight'][:, :, 0])
    assert bool((kernel[:, :, 0] == 0).all()) == center_init


def test_stage2_file_overrides_the_encoder(published):
    path, state = published()
    stage2 = {f'vision_encoder.{k}': v + 1 for k, v in state.items() if 'head' not in k}
    stage2['vision_encoder.pos_embed'] = stage2['vision_encoder.pos_embed'][:, :17]
    del stage2['vision_encoder.fc_norm.weight'], stage2['vision_encoder.fc_norm.bias']
    stage2['vision_encoder.clip_decoder.0.norm.weight'] = stage2['text_encoder.x'] = torch.ones(2)
    extra, _ = published(stage2, 'stage2.pth')
    model = tiny_recognizer()
    report = load_pretrained(model, path, extra=extra, orig_t_size=4)
    assert torch.equal(model.backbone.cls_token, state['cls_token'] + 1)
    assert torch.equal(model.head.head.weight, state['head.weight'])
    assert report.reshaped['backbone.pos_embed'] == ((1, 17, 16), (1, 33, 16))

    encoder = tiny_recognizer().backbone
    assert load_pretrained(encoder, extra, stage2=True).matched == list(encoder.state_dict())


def test_own_checkpoint_can_start_another_run(tmp_path):
    first = tiny_recognizer(710)
    path = write_state_dict(first.state_dict(), tmp_path / 'epoch_1.pth')
    second = tiny_recognizer(400, num_frames=16)
    assert load_pretrained(second, path, head='remap').explained
    assert torch.equal(second.head.head.weight, first.head.head.weight[:400])


OTHERS = [
    (
        dict(embed_dim=32),
        'cls_token 1x1x32 in the .*, 1x1x16 in the model.*embed_dim=32, depth=2.*=16, depth=2',
    ),
    (dict(depth=3), 'another architecture.*depth=3.*depth=2'),
    (dict(num_frames=16), 'frame count or resolution.*65 rows.*33'),
    (dict(img_size=42), 'frame count or resolution.*73 rows.*33'),
    (dict(num_classes=7), 'another class count: 7 in the checkpoint, 5 in the model'),
    (dict(sep_pos_embed=True), 'sep_pos_embed=True'),
    (dict(patch_size=7), 'another patch: .* is 1x7x7 .*1x14x14'),
    (dict(qkv_bias=True), r'unexpected in the checkpoint: backbone.blocks.\*.attn.qkv.bias \(x2\)'),
]


@pytest.mark.parametrize(('fields', 'reason'), OTHERS)
def test_a_checkpoint_of_another_model_says_how_it_differs(tmp_path, fields, reason):
    path = write_state_dict(tiny_recognizer(**fields).state_dict(), tmp_path / 'other.pth')
    model = tiny_recognizer()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    with pytest.raises(CheckpointMismatchError, match=rf'(?s)other\.pth does not fit.*{reason}'):
        load_checkpoint(model, path)
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


@pytest.mark.parametrize(('fields', 'reason'), [OTHERS[i] for i in (0, 1, 4, 5, 6)])
def test_a_published_file_of_another_model_says_how_it_differs(published, fields, reason):
    path, _ = published(**fields)
    with pytest.raises(CheckpointMismatchError, match=f'(?s){reason}'):
        load_pretrained(tiny_recognizer(), path)


def test_other_layouts_are_recognised(published):
    path, _ = published()
    with pytest.raises(CheckpointMismatchError, match='another layout'):
        load_checkpoint(tiny_recognizer(), path)
    path, _ = published({'layer1.0.conv1.weight': torch.zeros(2, 2)})
    with pytest.raises(CheckpointMismatchError, match=r'another layout.*layer1'):
        load_pretrained(tiny_recognizer(), path)


def test_a_published_file_is_loaded_as_the_config_of_the_model_says(published):
    path, state = published(num_classes=710)
    init_cfg = dict(type='Published', checkpoint='not read', head='remap')
    model = tiny_recognizer(400, init_cfg=init_cfg, num_frames=16)
    report = load_checkpoint(model, path)
    assert torch.equal(model.head.head.weight, state['head.weight'][k710_rows(400)])
    assert set(report.reshaped) == {'head.head.weight', 'head.head.bias', 'backbone.pos_embed'}
    own = tiny_recognizer(400, init_cfg=init_cfg, num_frames=8).state_dict()
    path = write_state_dict(own, path.with_name('own.pth'))
    with pytest.raises(CheckpointMismatchError, match='another frame count'):
        load_checkpoint(model, path)


def test_a_published_file_is_never_loaded_in_part(published):
    model = tiny_recognizer(init_cfg=dict(type='Published', head='reset'))
    path, _ = published()
    with pytest.raises(CheckpointMismatchError, match=r'no head\.head\.weight.*head=keep'):
        load_checkpoint(model, path)
    path, _ = published({'layer1.0.conv1.weight': torch.zeros(2, 2)})
    with pytest.raises(CheckpointMismatchError, match=r'another layout.*layer1'):
        load_checkpoint(model, path)


def test_one_missing_entry_is_an_error_unless_not_strict(tmp_path):
    state = tiny_recognizer().state_dict()
    del state['backbone.blocks.1.ls2.gamma']
    path = write_state_dict(state, tmp_path / 'x.pth')
    with pytest.raises(CheckpointMismatchError, match=r'missing .*blocks\.\*\.ls2\.gamma'):
        load_checkpoint(tiny_recognizer(), path)
    report = load_checkpoint(tiny_recognizer(), path, strict=False)
    assert report.missing == ['backbone.blocks.1.ls2.gamma']


def test_unknown_adapter_and_option_are_named(published):
    path, _ = published()
    with pytest.raises(KeyError, match='internvideo2_single'):
        load_pretrained(tiny_recognizer(), path, 'internvideo2_singel')
    with pytest.raises(TypeError, match='heads'):
        load_pretrained(tiny_recognizer(), path, heads='remap')
    with pytest.raises(ValueError, match='head must be one of'):
        load_pretrained(tiny_recognizer(), path, head='drop')


def test_a_model_of_another_family_is_refused(published):
    path, _ = published()
    with pytest.raises(ValueError, match='Linear has no InternVideo2 encoder'):
        load_pretrained(torch.nn.Linear(2, 2), path)


def test_report_reads_in_a_few_lines(published):
    path, _ = published(num_classes=710)
    report = load_pretrained(tiny_recognizer(400, num_frames=16), path, head='remap')
    lines = str(report).splitlines()
    assert lines[0].startswith(f'loaded {path}: 48 matched, 3 reshaped')
    assert '  reshaped backbone.pos_embed: 1x33x16 -> 1x65x16' in lines[-1] + lines[-2] + lines[-3]
    assert len(lines) == 4


@pytest.mark.parametrize('prefix', [None, 'backbone', 'backbone.'])
def test_pretrained_weights_of_ours_load_strictly_and_as_data(tmp_path, prefix):
    donor, model = tiny_recognizer(), tiny_recognizer()
    path = write_state_dict(donor.state_dict(), tmp_path / 'own.pth')
    init_cfg = dict(type='internvideo.Pretrained', checkpoint=str(path), prefix=prefix)
    part, own = (model.backbone, donor.backbone) if prefix else (model, donor)
    part.init_cfg, part._is_init = init_cfg, False
    part.init_weights()
    loaded = part.state_dict()
    assert all(torch.equal(loaded[name], tensor) for name, tensor in own.state_dict().items())
    torch.save(dict(state_dict=own.state_dict(), args=argparse.Namespace()), path)
    part.init_cfg, part._is_init = dict(init_cfg, prefix=None), False
    with pytest.raises(ValueError, match='Python objects besides tensors'):
        part.init_weights()


def test_init_cfg_loads_after_the_children_initialised(published):
    path, state = published()
    init_cfg = dict(type='internvideo.Published', checkpoint=str(path))
    model = tiny_recognizer(init_cfg=init_cfg)
    model.backbone.init_cfg = dict(type='Constant', layer='Linear', val=3.0)
    model.init_weights()
    assert torch.equal(model.backbone.blocks[0].mlp.fc1.weight, state['blocks.0.mlp.fc1.weight'])
    assert torch.equal(model.head.head.weight, state['head.weight'])
    assert model.backbone.is_init


def test_meta_model_takes_the_tensors_of_the_file(published):
    path, state = published()
    with torch.device('meta'):
        model = tiny_recognizer()
    load_pretrained(model, path)
    assert not any(tensor.is_meta for tensor in model.state_dict().values())
    assert torch.equal(model.backbone.pos_embed, state['pos_embed'])
    assert model.backbone.pos_embed.requires_grad
