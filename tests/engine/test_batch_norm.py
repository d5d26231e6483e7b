"""BatchNorm's running statistics are those of all processes, on all processes."""

from types import SimpleNamespace

import torch
from mmengine.config import Config
from torch import nn

from internvideo.engine.hooks.batch_norm_hook import BatchNormHook, running_statistics
from internvideo.engine.strategies.strategy import Strategy
from tests.paths import ROOT
from tests.processes import in_processes


def small_model():
    return nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.BatchNorm1d(4, affine=False))


def steps(rank):
    """Three steps on batches that differ between the processes, with and without the hook."""
    torch.manual_seed(0)
    model, alone = small_model(), small_model()
    alone.load_state_dict(model.state_dict())
    runner, hook = SimpleNamespace(model=model, strategy=Strategy()), BatchNormHook()
    hook.before_train(runner)
    draws = torch.Generator().manual_seed(rank)
    for index in range(3):
        batch = (rank + 1) * torch.randn(8, 3, generator=draws)
        for each in (model.train(), alone.train()):
            each(batch)
        if index == 0:
            first = model[1].running_mean.clone()
        hook.after_train_iter(runner, index)
    statistics = {name: value for name, value in model.state_dict().items() if 'running' in name}
    return statistics, first, alone[1].running_mean


def test_statistics_are_equal_on_all_processes_and_their_mean():
    results = in_processes(2, steps)
    (mine, first, _), (others, other_first, _) = results
    assert len(mine) == 4
    for name, value in mine.items():
        assert torch.equal(value, others[name]), name
    assert not torch.equal(first, other_first)
    # The first layer sees no normalised input, so its averages are those of separate runs.
    torch.testing.assert_close(mine['1.running_mean'], (results[0][2] + results[1][2]) / 2)


def test_common_statistics_and_single_processes_are_left_alone():
    model = nn.Sequential(nn.SyncBatchNorm(4), nn.BatchNorm1d(4, track_running_stats=False))
    assert running_statistics(model) == []
    hook, runner = BatchNormHook(), SimpleNamespace(model=small_model(), strategy=Strategy())
    hook.before_train(runner)
    # Without a process group: this would raise if it tried to average.
    hook.after_train_iter(runner, 0)


def test_every_config_has_it():
    runtime = Config.fromfile(ROOT / 'configs/_base_/default_runtime.py')
    assert runtime.default_hooks.batch_norm.type == 'BatchNormHook'
