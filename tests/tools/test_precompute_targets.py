"""tools/precompute_targets.py on generated files: shards, resuming, training from the folder."""

import pytest
import torch
from mmengine.config import Config

from internvideo.cli.precompute import build_parser, main
from internvideo.datasets.samplers.epoch_sampler import EpochSampler
from internvideo.datasets.synthetic import make_world
from internvideo.engine.command_line import guarded
from internvideo.models.tasks.pretraining.precomputed import TargetManifest, part_path
from internvideo.registry import DATASETS, FUNCTIONS, MODELS
from tests.models.tasks.pretraining.small_models import build, pretraining

SEED, NUM_TRAIN = 7, 6


def dataset_config(root):
    return dict(
        type='VideoDataset',
        ann_file=f'{root}/train.csv',
        data_prefix=str(root),
        sampling=dict(type='UniformSample', num_frames=4),
        pipeline=[dict(type='MultiScaleCrop', size=28), dict(type='PackInputs')],
    )


@pytest.fixture(scope='module')
def config(tmp_path_factory):
    folder = tmp_path_factory.mktemp('world')
    sizes = dict(num_train=NUM_TRAIN, num_val=2, num_test=2, size=40, num_frames=12)
    make_world(folder / 'world', workers=0, **sizes)
    teachers = pretraining()['targets']
    torch.manual_seed(0)
    for name, part in teachers.items():
        if isinstance(part, dict):
            path = folder / f'{name}.pth'
            torch.save(MODELS.build(part['encoder']).state_dict(), path)
            adapter = dict(clip='internvl', mae='videomae_teacher')[name]
            part['init_cfg'] = dict(type='Published', adapter=adapter, checkpoint=str(path))
    fields = dict(
        model=pretraining(targets=teachers),
        train_dataloader=dict(dataset=dataset_config(folder / 'world/recognition')),
        randomness=dict(seed=SEED),
    )
    Config(fields).dump(folder / 'config.py')
    return folder / 'config.py'


def precompute(config, out, *options):
    arguments = [str(config), str(out), '--num-workers', '0', '--part-size', '4', *options]
    return guarded(main, build_parser(), [*arguments, '--device', 'cpu'])


def training_batch(config, epoch):
    dataset = DATASETS.build(Config.fromfile(config).train_dataloader.dataset)
    sampler = EpochSampler(dataset, seed=SEED, augment_period=2)
    sampler.set_epoch(epoch)
    return FUNCTIONS.get('collate_clips')([dataset[key] for key in sampler])


@pytest.mark.parametrize('tokens', ['visible', 'all'])
def test_training_finds_every_crop_whatever_the_epoch(config, tmp_path, tokens):
    assert precompute(config, tmp_path, '--num-crops', '2', '--tokens', tokens) == 0
    targets = dict(type='PrecomputedTargets', root=str(tmp_path))
    model = build(pretraining(targets=targets))
    model.init_weights()
    for epoch in (0, 3):
        losses = model(**model.data_preprocessor(training_batch(config, epoch)), mode='loss')
        assert all(torch.isfinite(value) for value in losses.values())


def test_shards_complete_each_other_and_a_second_run_writes_nothing(config, tmp_path):
    out = tmp_path / 'targets'
    for index in range(2):
        assert precompute(config, out, '--num-crops', '2', '--shard', f'{index}/2') == 0
    parts = [part_path(out, part) for part in range(TargetManifest.read(out).num_parts)]
    before = [part.stat().st_mtime_ns for part in parts]
    assert precompute(config, out, '--num-crops', '2') == 0
    assert [part.stat().st_mtime_ns for part in parts] == before


def test_the_jobs_of_a_slurm_array_share_the_parts(config, tmp_path, monkeypatch):
    monkeypatch.setenv('SLURM_ARRAY_TASK_COUNT', '2')
    monkeypatch.setenv('SLURM_ARRAY_TASK_MIN', '1')
    for task in (1, 2):
        monkeypatch.setenv('SLURM_ARRAY_TASK_ID', str(task))
        assert precompute(config, tmp_path) == 0
        assert [part_path(tmp_path, part).is_file() for part in range(2)] == [True, task == 2]


def test_a_part_made_again_is_the_same(config, tmp_path):
    precompute(config, tmp_path)
    before = part_path(tmp_path, 1).read_bytes()
    part_path(tmp_path, 1).unlink()
    precompute(config, tmp_path)
    assert part_path(tmp_path, 1).read_bytes() == before


def test_other_settings_do_not_mix_with_what_is_there(config, tmp_path, capsys):
    precompute(config, tmp_path)
    assert precompute(config, tmp_path, '--tokens', 'all') == 1
    assert 'tokens visible instead of all' in capsys.readouterr().err


@pytest.mark.parametrize('shard', ['2/2', '1', 'a/b'])
def test_a_bad_shard_is_named(config, tmp_path, shard, capsys):
    assert precompute(config, tmp_path, '--shard', shard) == 2
    assert '--shard' in capsys.readouterr().err


def test_a_missing_teacher_checkpoint_is_named(config, tmp_path, capsys):
    absent = 'model.targets.clip.init_cfg.checkpoint=absent.pth'
    assert precompute(config, tmp_path, '--cfg-options', absent) == 1
    assert 'absent.pth' in capsys.readouterr().err
