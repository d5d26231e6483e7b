"""Adapters of stage 2, CLIP, BERT and BEATs: full-size layouts, and tiny files with values."""

import json

import pytest
import torch
from torch import nn

from internvideo.checkpoint import LoadReport, load_checkpoint, load_pretrained
from internvideo.checkpoint.adapters.internvideo2_multi import (
    BEATsAdapter,
    BertAdapter,
    CLIPAdapter,
    Stage2Adapter,
)
from internvideo.checkpoint.report import CheckpointMismatchError
from internvideo.registry import MODELS
from tests.models.tasks.retrieval.small_models import (
    AUDIO,
    BERT,
    LLAMA,
    VISION,
    clip,
    stage2,
    stage2_audio,
)
from tests.paths import PARITY

FOLDER = PARITY / 'internvideo2_multi'
NECK = dict(type='AlignmentNeck', clip_dim=3200, clip_final_dim=768)
TINY_NECK = dict(
    neck=dict(type='AlignmentNeck', clip_dim=6, clip_final_dim=4), clip_layers=dict(count=2)
)
LANGUAGE = dict(type='FusionBertForMaskedLM', arch='large')
CLIP_ENCODER = dict(init_values=0.1, layerscale_force_fp32=False)


def manifest(name):
    """Name to tensor on the meta device, repeated entries included."""
    content = json.loads((FOLDER / f'{name}.manifest.json').read_text())
    state = {name: torch.empty(shape, device='meta') for name, shape, _ in content['state']}
    tied = content['facts'].get('tied', {})
    return state | {alias: state[name] for alias, name in tied.items()}


def vision(arch, **fields):
    return dict(type='InternVideo2', arch=arch, **fields)


def released(name):
    """Config of the model that a published file was saved from."""
    if name == 'stage2_visual_1b':
        encoder = vision('1B', num_frames=4, image_pos_embed='separate')
        own = dict(embed_dim=512)
    elif name == 'stage2_audiovisual_6b':
        encoder = vision('6B', num_frames=4, image_pos_embed='shared')
        weights = dict.fromkeys(('vtc', 'mlm', 'vtm', 'avtc', 'avtm', 'avmlm'), 1.0)
        own = dict(
            embed_dim=768, audio_encoder=dict(type='BEATs'), av_concat_dim=768, loss_weights=weights
        )
    elif name == 'clip_1b':
        text = dict(type='LlamaText', lora=dict())
        return dict(
            type='InternVideo2CLIP', vision_encoder=vision('1B', **CLIP_ENCODER), text_encoder=text
        )
    else:
        arch = dict(s14='small', l14='large')[name[-3:]]
        return dict(
            type='InternVideo2CLIP',
            vision_encoder=vision(arch, **CLIP_ENCODER),
            text_encoder=dict(type='MobileCLIPText'),
            align_dim=512,
        )
    base = dict(type='InternVideo2Stage2', vision_encoder=encoder, text_encoder=LANGUAGE)
    return base | dict(neck=NECK, clip_layers=dict(count=6)) | own


def on_meta(config):
    with torch.device('meta'):
        return MODELS.build(config)


def shapes(state):
    return {name: tuple(tensor.shape) for name, tensor in state.items()}


@pytest.mark.parametrize(
    ('name', 'adapter'),
    [
        ('stage2_visual_1b', Stage2Adapter()),
        ('stage2_audiovisual_6b', Stage2Adapter()),
        ('clip_1b', CLIPAdapter()),
        ('clip_small_s14', CLIPAdapter()),
        ('clip_small_l14', CLIPAdapter()),
    ],
)
def test_released_layouts_go_both_ways(name, adapter):
    model, published, report = on_meta(released(name)), manifest(name), LoadReport()
    state = adapter.to_ours(published, model, report)
    report.compare(shapes(state), shapes(model.state_dict()))
    assert report.explained and not (report.new or report.reshaped)
    repeats = {n for n in published if ('decoder.' in n and '.cls.' in n) or 'attention_bias' in n}
    assert set(report.left_over) <= repeats
    assert shapes(adapter.to_published(model.state_dict())) == shapes(published)


def test_parameters_of_the_large_models_are_counted_as_published():
    for name in ('stage2_visual_1b', 'clip_1b'):
        content = json.loads((FOLDER / f'{name}.manifest.json').read_text())
        model = on_meta(released(name))
        assert sum(p.numel() for p in model.parameters()) == content['params']
        trained = {n for n, p in model.named_parameters() if p.requires_grad} - {'temp'}
        wanted = {part for part, count in content['facts']['trainable_by_child'].items() if count}
        assert {n.split('.')[0].replace('neck', 'vision_encoder') for n in trained} == wanted


@pytest.mark.parametrize(
    ('name', 'config', 'adapter'),
    [
        ('beats_iter3_plus', dict(type='BEATs'), BEATsAdapter()),
        ('internvl_teacher_6b', dict(type='InternVLVision'), None),
    ],
)
def test_single_towers(name, config, adapter):
    model, published = on_meta(config), manifest(name)
    state = published if adapter is None else adapter.to_ours(published, model)
    assert shapes(state) == shapes(model.state_dict())
    if adapter is not None:
        assert shapes(adapter.to_published(model.state_dict())) == shapes(published)


def save(folder, state, name='file.pth'):
    path = folder / name
    torch.save({'module': {k: v.clone() for k, v in state.items()}}, path)
    return path


def test_stage2_comes_back_with_its_values(tmp_path):
    first, second = (stage2_audio(**TINY_NECK) for _ in range(2))
    path = save(tmp_path, Stage2Adapter().to_published(first.state_dict()))
    assert 'vision_encoder.clip_decoder.0.head.weight' in torch.load(path)['module']
    load_pretrained(second, path, 'internvideo2_stage2')
    torch.testing.assert_close(dict(second.state_dict()), dict(first.state_dict()))


def test_a_released_file_is_told_from_one_of_ours_though_names_overlap(tmp_path):
    init = dict(type='Published', adapter='internvideo2_stage2', checkpoint='')
    first, second = stage2(**TINY_NECK), stage2(**TINY_NECK, init_cfg=init)
    for state in (first.state_dict(), Stage2Adapter().to_published(first.state_dict())):
        nn.init.zeros_(second.temp)
        load_checkpoint(second, save(tmp_path, state))
        torch.testing.assert_close(dict(second.state_dict()), dict(first.state_dict()))


def test_the_pretraining_build_serves_a_plain_one_with_more_frames(tmp_path):
    first = stage2(**TINY_NECK)
    second = stage2(
        vision_encoder=VISION | dict(num_frames=4, image_pos_embed='separate'),
        text_encoder=BERT | dict(type='FusionBert'),
        loss_weights=dict(vtc=1, vtm=1),
    )
    path = save(tmp_path, Stage2Adapter().to_published(first.state_dict()))
    report = load_pretrained(second, path, 'internvideo2_stage2')
    assert report.new == ['vision_encoder.img_pos_embed']
    assert list(report.reshaped) == ['vision_encoder.pos_embed']
    assert {name.split('.')[1] for name in report.left_over} >= {'clip_decoder', 'cls'}
    name = 'embeddings.word_embeddings.weight'
    torch.testing.assert_close(
        second.state_dict()[f'text_encoder.{name}'], first.state_dict()[f'text_encoder.bert.{name}']
    )


def test_a_model_without_audio_leaves_the_audio_parts_over(tmp_path):
    first = stage2_audio(**TINY_NECK)
    second = stage2(loss_weights=dict(vtc=1, vtm=1), av_concat_dim=14, **TINY_NECK)
    path = save(tmp_path, Stage2Adapter().to_published(first.state_dict()))
    report = load_pretrained(second, path, 'internvideo2_stage2')
    assert not report.new
    audio_parts = {'audio_encoder', 'audio_proj', 'av_concat_audio_proj', 'av_fusion'}
    left_over = {name.split('.')[0] for name in report.left_over} - {'text_encoder'}
    assert left_over == audio_parts | {'atm_head', 'avtm_head'}


def test_heads_that_a_file_lacks_are_new_only_where_this_is_said(tmp_path):
    weights = dict(loss_weights=dict(vtc=1.0, atc=1.0, atm=1.0))
    with_audio, without_audio = (
        stage2_audio(**weights),
        stage2_audio(loss_weights=dict(vtc=1.0, atc=1.0)),
    )
    file = save(tmp_path, Stage2Adapter().to_published(without_audio.state_dict()))
    with pytest.raises(CheckpointMismatchError, match='atm_head'):
        load_pretrained(with_audio, file, 'internvideo2_stage2')
    report = load_pretrained(with_audio, file, 'internvideo2_stage2', new_parts=['atm_head'])
    assert {'atm_head.weight', 'atm_head.bias'} <= set(report.new)
    with pytest.raises(ValueError, match='no avtm_head'):
        load_pretrained(with_audio, file, 'internvideo2_stage2', new_parts=['avtm_head'])


def stage1_state():
    """A pretrained tower of eight frames with its decoders."""
    model = stage2(vision_encoder=VISION | dict(num_frames=8), **TINY_NECK)
    state = {}
    for name, tensor in model.state_dict().items():
        if name.startswith(('vision_encoder.', 'neck.')):
            state[name.partition('.')[2]] = torch.randn_like(tensor)
    return state | {
        'mae_pos_embed': torch.zeros(1, 4, 16),
        'mae_decoder.0.norm.bias': torch.ones(3),
    }


def test_a_stage1_tower_starts_stage2(tmp_path):
    state, model = stage1_state(), stage2(**TINY_NECK)
    report = load_pretrained(
        model, save(tmp_path, state), 'internvideo2_stage2', kind='stage1', orig_t_size=8
    )
    assert set(report.reshaped) == {'vision_encoder.pos_embed', 'neck.clip_pos_embed'}
    assert set(report.left_over) == {'mae_pos_embed', 'mae_decoder.0.norm.bias'}
    assert 'text_proj.weight' in report.new and 'vision_encoder.cls_token' not in report.new
    torch.testing.assert_close(model.vision_encoder.cls_token.data, state['cls_token'])


@pytest.mark.parametrize('kind', ['stage1', 'stage2'])
def test_a_tower_starts_clip_beside_a_text_file(tmp_path, kind):
    donor, model = clip(text_encoder=clip_text(None)), clip()
    text = {
        name.removeprefix('text_encoder.'): value
        for name, value in donor.state_dict().items()
        if name.startswith('text_encoder.')
    }
    text['transformer.layers.0.self_attn.rotary_emb.inv_freq'] = torch.ones(2)
    tower = stage1_state()
    if kind == 'stage2':
        tower = {f'vision_encoder.{name}': value for name, value in tower.items()}
        tower = {k: v for k, v in tower.items() if 'mae' not in k} | {'temp': torch.ones(())}
    report = load_pretrained(
        model,
        save(tmp_path, tower),
        'internvideo2_clip',
        kind=kind,
        text=save(tmp_path, text, 'text.pth'),
        orig_t_size=8,
    )
    assert list(report.reshaped) == ['vision_encoder.pos_embed']
    assert all('.lora_' in name or name == 'temp' for name in report.new)
    own = model.state_dict()['text_encoder.transformer.layers.0.self_attn.q_proj.base_layer.weight']
    torch.testing.assert_close(own, text['transformer.layers.0.self_attn.q_proj.weight'])


@pytest.mark.parametrize('steps', [2, None], ids=['whole', 'trained parts'])
def test_an_extra_file_overrides_tower_and_text(tmp_path, steps):
    donor, model = clip(), clip()
    torch.nn.init.normal_(donor.temp)
    tower = {f'vision_encoder.{k}': v for k, v in stage1_state().items() if 'mae' not in k}
    extra = CLIPAdapter().to_published(donor.state_dict())
    if steps is None:
        extra = {k: v for k, v in extra.items() if 'clip_projector' in k or k == 'temp'}
    path = save(tmp_path, extra, 'extra.pth')
    options = dict(kind='stage2', orig_t_size=8, extra=path)
    report = load_pretrained(model, save(tmp_path, tower), 'internvideo2_clip', **options)
    assert list(report.reshaped) == ([] if steps else ['vision_encoder.pos_embed'])
    found = CLIPAdapter().to_published(model.state_dict())
    torch.testing.assert_close({name: found[name] for name in extra}, extra)


def clip_text(lora):
    return LLAMA | dict(lora=lora)


def test_clip_comes_back_with_its_values_and_trained_parts_alone_do_too(tmp_path):
    first, second, third = clip(), clip(), clip()
    state = CLIPAdapter().to_published(first.state_dict())
    load_pretrained(second, save(tmp_path, state), 'internvideo2_clip')
    torch.testing.assert_close(dict(second.state_dict()), dict(first.state_dict()))
    part = save(tmp_path, {k: v for k, v in state.items() if 'clip_projector' in k}, 'part.pth')
    with pytest.raises(CheckpointMismatchError, match='missing'):
        load_pretrained(third, part, 'internvideo2_clip')
    load_pretrained(third, part, 'internvideo2_clip', partial=True)
    name = 'vision_encoder.clip_projector.cross_attn.q.weight'
    torch.testing.assert_close(third.state_dict()[name], first.state_dict()[name])


def clip_in_parts(tmp_path):
    """A CLIP model's entries, which of these training changes, and a model of the files."""
    model = clip()
    trained = {name for name, each in model.named_parameters() if each.requires_grad}
    state = CLIPAdapter().to_published(model.state_dict())
    tower = {k: torch.zeros_like(v) if k in trained else v for k, v in state.items()}
    text = {k: v for k, v in state.items() if k.startswith('text_encoder.')}
    init = dict(
        type='Published',
        adapter='internvideo2_clip',
        kind='stage2',
        checkpoint=str(save(tmp_path, tower, 'tower.pth')),
        text=str(save(tmp_path, text, 'text.pth')),
        extra=str(tmp_path / 'absent.pth'),
    )
    return state, trained, clip(init_cfg=init)


@pytest.mark.parametrize('is_whole', [True, False])
def test_a_clip_file_is_tested_whole_or_over_those_that_the_config_names(tmp_path, is_whole):
    state, trained, model = clip_in_parts(tmp_path)
    given = state if is_whole else {name: state[name] for name in trained}
    report = load_checkpoint(model, save(tmp_path, given, 'given.pth'))
    assert report.explained and not report.new
    torch.testing.assert_close(CLIPAdapter().to_published(model.state_dict()), state)


@pytest.mark.parametrize(
    ('lost', 'added', 'reason'),
    [
        ('temp', {}, 'given.pth is no part of .* it holds no temp, which training changes'),
        (None, dict(tempo=torch.ones(())), 'unexpected in the checkpoint: tempo'),
        (None, dict(temp=torch.ones(2)), 'temp 2 in the checkpoint, scalar in the model'),
    ],
    ids=['lacks', 'unexpected', 'shape'],
)
def test_a_part_of_a_clip_model_is_taken_strictly(tmp_path, lost, added, reason):
    state, trained, model = clip_in_parts(tmp_path)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    given = {name: state[name] for name in trained if name != lost} | added
    with pytest.raises(CheckpointMismatchError, match=reason):
        load_checkpoint(model, save(tmp_path, given, 'given.pth'))
    torch.testing.assert_close(dict(model.state_dict()), before)
    model.init_cfg.pop('extra')  # a config that trains: the file must be whole
    part = save(tmp_path, {name: state[name] for name in trained}, 'given.pth')
    with pytest.raises(CheckpointMismatchError, match='missing in the checkpoint'):
        load_checkpoint(model, part)


def test_frozen_entries_that_no_file_holds_are_missing(tmp_path):
    state, trained, model = clip_in_parts(tmp_path)
    model.init_cfg['text'] = None
    part = save(tmp_path, {name: state[name] for name in trained}, 'part.pth')
    with pytest.raises(CheckpointMismatchError, match='missing in the checkpoint: text_encoder'):
        load_checkpoint(model, part)
    (tmp_path / 'tower.pth').unlink()
    with pytest.raises(FileNotFoundError, match=r'tower.pth .*part.pth holds a part of the model'):
        load_checkpoint(model, part)


@pytest.mark.parametrize('kind', ['FusionBert', 'FusionBertForMaskedLM'])
def test_bert_files_of_the_hub(tmp_path, kind):
    donor = MODELS.build(BERT)
    state = BertAdapter().to_published(donor.state_dict())
    state = {k: v for k, v in state.items() if 'position_ids' not in k}
    state = {k.replace('LayerNorm.weight', 'LayerNorm.gamma'): v for k, v in state.items()}
    state |= {'bert.pooler.dense.weight': torch.ones(2), 'cls.seq_relationship.bias': torch.ones(2)}
    model = MODELS.build(BERT | dict(type=kind, media_dim=6))
    report = load_pretrained(model, save(tmp_path, state), 'bert')
    assert all('crossattention' in name or 'position_ids' in name for name in report.new)
    assert 'bert.pooler.dense.weight' in report.left_over


def test_fusion_layers_on_top_of_a_whole_bert_are_new(tmp_path):
    path = save(tmp_path, BertAdapter().to_published(MODELS.build(BERT).state_dict()))
    depth = BERT['arch']['num_hidden_layers']
    deeper = BERT | dict(media_dim=6, num_hidden_layers=depth + 1)
    report = load_pretrained(MODELS.build(deeper | dict(fusion_layer=depth)), path, 'bert')
    assert {name.rpartition('layer.')[2][0] for name in report.new} == {str(depth)}
    assert len(report.new) == 26
    with pytest.raises(CheckpointMismatchError, match='missing'):
        load_pretrained(MODELS.build(deeper | dict(fusion_layer=depth + 1)), path, 'bert')


def test_a_finetuned_beats_file_leaves_its_classifier(tmp_path):
    fields = dict(encoder_layers=2)
    donor = MODELS.build(AUDIO | fields | dict(finetuned_model=True, predictor_class=3))
    path = save(tmp_path, BEATsAdapter().to_published(donor.state_dict()))
    report = load_pretrained(MODELS.build(AUDIO | fields), path, 'beats')
    assert sum(name.startswith('predictor.') for name in report.left_over) == 2
    assert sum('attention_bias' in name for name in report.left_over) == 1


def test_a_beats_file_of_other_settings_is_refused(tmp_path):
    donor = MODELS.build(AUDIO | dict(deep_norm=False))
    path = tmp_path / 'beats.pth'
    for settings in (dict(deep_norm=False, encoder_layers=12), dict(max_distance=800), None):
        torch.save(dict(cfg=settings, model=donor.state_dict()), path)
        assert not load_pretrained(MODELS.build(AUDIO | dict(deep_norm=False)), path, 'beats').new
    torch.save(dict(cfg=dict(deep_norm=False), model=donor.state_dict()), path)
    with pytest.raises(CheckpointMismatchError, match='deep_norm is False in the file, True in'):
        load_pretrained(MODELS.build(AUDIO), path, 'beats')


@pytest.mark.parametrize(('adapter', 'kind'), [(Stage2Adapter, 'stage2'), (CLIPAdapter, 'stage3')])
def test_unknown_kinds_are_named(adapter, kind):
    with pytest.raises(ValueError, match=f"kind must be one of .*'{kind}'"):
        adapter(kind=kind)


def test_another_vocabulary_is_named(tmp_path):
    first = stage2()
    other = BERT | dict(arch=BERT['arch'] | dict(vocab_size=30))
    path = save(tmp_path, Stage2Adapter().to_published(first.state_dict()))
    with pytest.raises(CheckpointMismatchError, match='word_embeddings'):
        load_pretrained(stage2(text_encoder=other), path, 'internvideo2_stage2')
