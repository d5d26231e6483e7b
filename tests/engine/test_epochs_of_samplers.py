"""Samplers of other libraries augment every epoch anew, in workers and after a resume."""

import pytest
import torch
from mmengine.hooks import Hook
from torch.utils.data import BatchSampler, DataLoader, RandomSampler

from internvideo.datasets.samplers.keyed_sampler import tell_epochs
from tests.engine.small_run import VectorClips, assert_equal_states, build, final_state
from tests.engine.test_resume import Crash, config_of, crash_and_resume


class Watch(Hook):
    """Keeps the clips of every epoch by their row."""

    def __init__(self):
        self.clips = {}

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        for clip, sample in zip(data_batch['inputs'], data_batch['data_samples'], strict=True):
            self.clips[runner.epoch, sample.sample_index] = clip


def watched(config):
    runner, watch = build(config), Watch()
    runner.register_hook(watch)
    runner.train()
    return watch.clips


def with_sampler(work_dir, kind='DefaultSampler', **loader):
    config = config_of(work_dir, val_dataloader=None, val_evaluator=None, val_cfg=None)
    config.default_hooks.checkpoint.save_best = None
    config.train_dataloader.sampler = dict(type=kind)
    config.train_dataloader.update(loader)
    return config


@pytest.mark.parametrize('loader', [{}, dict(num_workers=2), dict(num_workers=2, persistent=True)])
def test_every_epoch_is_augmented_anew(tmp_path, loader):
    loader = {key.replace('persistent', 'persistent_workers'): v for key, v in loader.items()}
    loader = dict(persistent_workers=False) | loader
    clips = watched(with_sampler(tmp_path / 'theirs', **loader))
    rows = {row for _, row in clips}
    assert rows == set(range(24))
    assert not any(torch.equal(clips[0, row], clips[1, row]) for row in rows)
    # The draws are those of (seed, epoch, row), whatever the sampler.
    ours = watched(with_sampler(tmp_path / 'ours', 'EpochSampler'))
    assert all(torch.equal(clips[key], ours[key]) for key in ours)


def test_resumed_run_ends_bitwise_alike(tmp_path):
    sampler = {'train_dataloader.sampler': dict(type='DefaultSampler')}
    build(config_of(tmp_path / 'whole', **sampler)).train()
    crash_and_resume(tmp_path / 'parts', Crash(8), **sampler)
    assert_equal_states(final_state(tmp_path / 'parts'), final_state(tmp_path / 'whole'))


def test_loaders_of_torch_are_told_too():
    loader = DataLoader(VectorClips(6), batch_size=2, sampler=RandomSampler(range(6)))
    tell_epochs(loader)
    loader.batch_sampler.sampler.set_epoch(3)
    assert {epoch for batch in loader.batch_sampler for epoch, _ in batch} == {3}


def test_data_sets_that_take_rows_alone_get_them():
    loader = DataLoader(list(range(6)), batch_size=2)
    tell_epochs(loader)
    assert [batch.tolist() for batch in loader] == [[0, 1], [2, 3], [4, 5]]


def test_batches_of_rows_are_refused():
    rows = list(BatchSampler(range(6), 2, drop_last=False))
    loader = DataLoader(VectorClips(6), batch_sampler=rows)
    with pytest.raises(ValueError, match=r"list does not say the epoch.*type='EpochSampler'"):
        tell_epochs(loader)
