"""What a run says, and when it stops, if something is wrong with data, model or peers."""

import threading
import time
from types import SimpleNamespace

import pytest
import torch
from mmengine.hooks import Hook
from mmengine.optim import OptimWrapperDict, build_optim_wrapper
from mmengine.runner import EpochBasedTrainLoop

from internvideo.engine.hooks.heartbeat_hook import Beat, HeartbeatHook, is_collective_failure
from internvideo.engine.optimizers.optim_wrappers import NonFiniteError
from internvideo.engine.runner import Runner
from internvideo.registry import DATA_SAMPLERS, LOOPS, OPTIM_WRAPPER_CONSTRUCTORS
from tests.engine.small_run import WIDTH, VectorClips, build, small_config
from tests.processes import in_processes


def config_of(work_dir, *hooks, **changes):
    config = small_config(work_dir, log_level='INFO', **changes)
    config.custom_hooks = list(hooks)
    config.train_cfg.max_epochs = 1
    return config


class WeightWatch(Hook):
    """The weights before every batch."""

    def __init__(self):
        self.seen = []

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        self.seen.append(runner.model.head.weight.detach().clone())


@pytest.mark.parametrize('accumulation', [1, 2])
def test_stops_before_the_nth_nonfinite_step_in_a_row(tmp_path, capfd, accumulation):
    """Steps before it are skipped, each naming the samples of all batches of the step."""
    changes = {
        'train_dataloader.dataset.bad_row': 5,
        'train_dataloader.batch_size': 24 // (3 * accumulation),
        'optim_wrapper.accumulative_counts': accumulation,
        'optim_wrapper.max_nonfinite': 2,
    }
    runner = build(config_of(tmp_path, **changes))
    runner.train()  # one in three steps is at fault, never two in a row
    assert runner.optim_wrapper.nonfinite_in_a_row < 2
    said = [line for line in capfd.readouterr().out.splitlines() if 'step is skipped' in line]
    assert len(said) == 1
    assert '/clips/5.mp4' in said[0]
    assert said[0].count('.mp4') == 8


def test_nonfinite_error_leaves_the_weights_alone(tmp_path):
    runner = build(config_of(tmp_path, **{'train_dataloader.dataset.bad_row': 5}))
    watch = WeightWatch()
    runner.register_hook(watch)
    with pytest.raises(NonFiniteError, match=r'not taken \(epoch 1, batch \d; samples: .*/5.mp4'):
        runner.train()
    assert torch.equal(runner.model.head.weight, watch.seen[-1])
    assert torch.isfinite(runner.model.head.weight).all()


def test_overdue_batch_is_named_while_it_is_missing(tmp_path, capfd, monkeypatch):
    def slow(self, index, get=VectorClips.__getitem__):
        time.sleep(2 * (index[1] == 7))
        return get(self, index)

    monkeypatch.setattr(VectorClips, '__getitem__', slow)
    facts = dict(path='/clips/{}.mp4')
    monkeypatch.setattr(
        VectorClips, 'get_data_info', lambda self, row: dict(path=facts['path'].format(row)),
        raising=False,
    )  # fmt: skip
    watch = dict(type='LoaderWatchHook', patience=0.2, interval=2, max_share=0.3)
    build(config_of(tmp_path, watch, **{'train_dataloader.num_workers': 1})).train()
    said = capfd.readouterr().out
    assert 'worker 0 of 1 makes it from: ' in said
    assert any('no batch' in line and '/clips/7.mp4' in line for line in said.splitlines())
    assert 'raise train_dataloader.num_workers (now 1)' in said


def test_parameters_without_gradient_are_named(tmp_path, capfd):
    runner = build(config_of(tmp_path, dict(type='UnusedParametersHook')))
    runner.model.head.spare = torch.nn.Parameter(torch.zeros(WIDTH))
    runner.train()
    said = [line for line in capfd.readouterr().out.splitlines() if 'got no gradient' in line]
    assert len(said) == 1
    assert '1 trainable parameters got no gradient: head.spare;' in said[0]


def test_missing_ranks_are_told_apart():
    """One behind, one silent, one elsewhere, one that never started; rank 1 waits like rank 0."""
    hook = HeartbeatHook(interval=1)
    hook.rank, hook.world_size, hook._state = 0, 6, (12, 'computing')
    facts = {0: (12, True, 0), 1: (12, True, 0), 2: (11, True, 0), 3: (12, True, 60)}
    facts[4] = (12, False, 0)
    hook._read = lambda: (
        {5: None}
        | {
            rank: Beat(step, 'computing', 'a.py:7', waits, time.time() - age, 'n', 100 + rank)
            for rank, (step, waits, age) in facts.items()
        }
    )
    text = hook.explain()
    assert 'did not arrive: rank 2 (computing in step 11 at a.py:7, on n, process 102)' in text
    assert 'rank 3 (computing in step 12 at a.py:7, on n, process 103, silent for 60 s)' in text
    assert 'rank 4 (' in text
    assert 'rank 5 (never started to train)' in text
    assert 'rank 1 (' not in text
    assert hook._speaks()


def names_of_threads(rank):
    """Those that a heartbeat leaves behind which was in the store when training ended."""
    hook, publish = HeartbeatHook(interval=1), HeartbeatHook._publish
    inside = threading.Event()

    def slow(self):
        inside.set()
        time.sleep(0.5)
        publish(self)

    HeartbeatHook._publish = slow
    runner = SimpleNamespace(strategy=SimpleNamespace(rank=rank, world_size=2))
    hook.before_train(runner)
    inside.wait()
    running = [thread.name for thread in threading.enumerate()]
    hook.after_train(runner)
    return running, [thread.name for thread in threading.enumerate()]


def test_heart_stops_with_training():
    for running, left in in_processes(2, names_of_threads):
        assert 'heartbeat' in running and 'heartbeat' not in left


@pytest.mark.parametrize(
    ('error', 'counts'),
    [
        (RuntimeError('[gloo/transport/tcp] Connection closed by peer'), True),
        (torch.distributed.DistBackendError('NCCL timeout'), True),
        (RuntimeError('mat1 and mat2 shapes cannot be multiplied'), False),
    ],
)
def test_collective_failures_are_recognised(error, counts):
    assert is_collective_failure(error) is counts


def test_a_loop_that_cannot_be_resumed_is_refused(tmp_path):
    @LOOPS.register_module(force=True)
    class BareLoop(EpochBasedTrainLoop):
        pass

    config = small_config(tmp_path, **{'train_cfg.type': 'BareLoop'})
    with pytest.raises(ValueError, match='BareLoop has no progress and no restore'):
        build(config).train()


def test_several_optimisers_are_refused(tmp_path):
    def constructor(*_, **__):
        def make(model):
            parts = dict(left=model.backbone, right=model.head)
            cfg = dict(optimizer=dict(type='SGD', lr=0.1))
            return OptimWrapperDict(**{k: build_optim_wrapper(v, cfg) for k, v in parts.items()})

        return make

    OPTIM_WRAPPER_CONSTRUCTORS.register_module(name='Several', force=True)(constructor)
    config = small_config(tmp_path, **{'optim_wrapper.constructor': 'Several'})
    with pytest.raises(ValueError, match=r'2 optimisers \(left, right\)'):
        build(config).train()


def test_a_batch_size_set_to_none_makes_room_for_a_batch_sampler():
    dataset = [0, 1, 2, 3]
    sampler = dict(type='BatchesOfTwo')

    @DATA_SAMPLERS.register_module(force=True)
    class BatchesOfTwo:
        def __init__(self, dataset, seed=None):
            self.dataset = dataset

        def __iter__(self):
            return iter([[0, 1], [2, 3]])

    config = dict(dataset=dataset, batch_size=None, sampler=None, batch_sampler=sampler)
    loader = Runner.build_dataloader(dict(config, collate_fn=dict(type='pseudo_collate')))
    assert [list(batch) for batch in loader] == [[0, 1], [2, 3]]
