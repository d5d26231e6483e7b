"""Every strategy trains, saves and resumes like one process, in the checkpoint of one process."""

import importlib.util
import json
import shutil
from pathlib import Path

import pytest
import torch

from internvideo.checkpoint import load_checkpoint
from internvideo.checkpoint.training_state.checkpoint_files import (
    CheckpointError,
    read_training_state,
)
from internvideo.checkpoint.training_state.optimizer_shards import (
    OptimizerShards,
    remove_with_shards,
)
from internvideo.engine.strategies.deepspeed import DeepSpeed
from tests.engine.strategy_runs import PlainRecognizer, run_jobs

SHARDING = ['fsdp', 'fsdp_sharded']
if importlib.util.find_spec('deepspeed'):
    SHARDING += ['zero0', 'zero1', 'zero2', 'zero3', 'zero3_offload', 'zero3_sharded']
needs_deepspeed = pytest.mark.skipif('zero1' not in SHARDING, reason='deepspeed is not installed')
MIDWAY = 'epoch_0_iter_4.pth'
LAST = 'epoch_2.pth'
# (who stopped in the middle of an epoch, who goes on, in how many processes)
RESUMES = [
    ('fsdp', 'fsdp', 2),
    ('single', 'fsdp', 2),
    ('fsdp', 'ddp', 2),
    ('fsdp', 'single', 1),
    ('ddp', 'single', 1),
    ('single', 'ddp', 2),
    ('ddp', 'fsdp', 1),
    ('fsdp_sharded', 'fsdp_sharded', 2),
    ('fsdp_sharded', 'single', 1),
    ('zero3_sharded', 'fsdp', 2),
    ('zero3_sharded', 'zero2', 1),
    ('zero1', 'zero1', 2),
    ('zero2', 'zero2', 2),
    ('zero3', 'zero3', 2),
    ('single', 'zero3', 2),
    ('zero3', 'zero1', 2),
    ('zero1', 'fsdp', 2),
    ('fsdp', 'zero2', 2),
    ('zero3', 'single', 1),
    ('zero2', 'single', 1),
    ('zero2', 'zero3', 1),
    ('zero3', 'zero1', 1),
]
RESUMES = [
    row for row in RESUMES if all(s in ('single', 'ddp', *SHARDING) for s in row[:2])
]  # fmt: skip

pytestmark = pytest.mark.slow


# validation clips that make another number of batches on each process
UNEVEN = {'val_dataloader.dataset.size': 9}


@pytest.fixture(scope='module')
def runs(tmp_path_factory):
    """Folder of whole runs (``NAME``) and of resumed ones (``A-B-PROCESSES``)."""
    folder = tmp_path_factory.mktemp('runs')

    def whole(name):
        return dict(folder=str(folder / name), strategy=name, changes=UNEVEN)

    def resumed(first, then, processes):
        changes = dict(UNEVEN, resume=str(folder / first / MIDWAY))
        name = f'{first}-{then}-{processes}'
        return dict(folder=str(folder / name), strategy=then, changes=changes)

    run_jobs([whole('single')], folder, 1)
    jobs = [whole(name) for name in ('ddp', *SHARDING)]
    run_jobs(jobs + [resumed(*row) for row in RESUMES if row[2] == 2], folder, 2)
    run_jobs([resumed(*row) for row in RESUMES if row[2] == 1], folder, 1)
    return folder


def read(folder):
    seen = json.loads((Path(folder) / 'seen.json').read_text())
    return torch.load(folder / LAST, weights_only=True), seen


def difference(left, right):
    assert list(left) == list(right)
    return max(float((left[name].float() - right[name].float()).abs().max()) for name in left)


def assert_alike(folder, reference, tolerance):
    (state, seen), (wanted, expected) = read(folder), read(reference)
    for key in ('state_dict', 'train_state_dict'):
        assert difference(state[key], wanted[key]) < tolerance
    own, theirs = state['optimizer'], wanted['optimizer']
    assert own['param_groups'] == theirs['param_groups']
    if 'shards' in own:
        own['state'] = OptimizerShards(folder / LAST, own['shards'])
    assert own['state'].keys() == theirs['state'].keys()
    for index in own['state']:
        entry, wanted_entry = own['state'][index], theirs['state'][index]
        assert entry.keys() == wanted_entry.keys()
        assert (
            difference(dict(sorted(entry.items())), dict(sorted(wanted_entry.items()))) < tolerance
        )
    assert seen['score'] == expected['score']
    for step, loss in seen['losses'].items():
        assert loss == pytest.approx(expected['losses'][step], abs=1e-6)


@pytest.mark.parametrize('name', ['ddp', *SHARDING])
def test_two_processes_equal_one(runs, name):
    assert_alike(runs / name, runs / 'single', 1e-5)


@pytest.mark.parametrize(('first', 'then', 'processes'), RESUMES)
def test_resumed_elsewhere_equals_never_stopped(runs, first, then, processes):
    folder = runs / f'{first}-{then}-{processes}'
    assert_alike(folder, runs / 'single', 1e-5)
    losses = json.loads((folder / 'seen.json').read_text())['losses']
    assert list(losses) == [str(step) for step in range(5, 13)]


@pytest.mark.parametrize('name', SHARDING)
def test_resumed_alike_is_bitwise_equal(runs, name):
    if (name, name, 2) not in RESUMES:
        pytest.skip('not resumed by itself')
    whole, resumed = (read(runs / folder)[0] for folder in (name, f'{name}-{name}-2'))
    assert difference(whole['train_state_dict'], resumed['train_state_dict']) == 0
    assert difference(whole['state_dict'], resumed['state_dict']) == 0


@pytest.mark.parametrize('name', SHARDING)
def test_checkpoint_loads_in_one_process(runs, name):
    model = PlainRecognizer()
    load_checkpoint(model, runs / name / LAST)
    saved = torch.load(runs / name / LAST, weights_only=True)
    assert torch.equal(model.head.weight, saved['state_dict']['head.weight'])
    assert not torch.equal(
        saved['state_dict']['head.weight'], saved['train_state_dict']['head.weight']
    )
    frozen = torch.load(runs / 'single' / LAST, weights_only=True)['state_dict']
    assert torch.equal(model.backbone.patch_embed.weight, frozen['backbone.patch_embed.weight'])


@needs_deepspeed
def test_stage_must_exist():
    with pytest.raises(ValueError, match='stage must be 0, 1, 2 or 3'):
        DeepSpeed(stage=4)


def test_checkpoint_without_a_shard_is_not_resumed(runs, tmp_path):
    for file in (runs / 'fsdp_sharded').glob('epoch_1.*'):
        shutil.copy(file, tmp_path)
    read_training_state(tmp_path / 'epoch_1.pth')
    (tmp_path / 'epoch_1.optimizer-1-of-2.shard').unlink()
    with pytest.raises(CheckpointError, match='cannot read optimiser shard'):
        read_training_state(tmp_path / 'epoch_1.pth')
    remove_with_shards(tmp_path / 'epoch_1.pth')
    assert not list(tmp_path.iterdir())
