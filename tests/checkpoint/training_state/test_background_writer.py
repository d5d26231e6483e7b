"""Checkpoints are written beside training, whole, and no error is lost."""

import threading

import pytest
import torch

from internvideo.checkpoint.training_state.background_writer import BackgroundWriter
from internvideo.checkpoint.training_state.checkpoint_files import (
    CheckpointError,
    plain_copy,
    write_checkpoint,
)
from tests.engine.small_run import build, final_state, small_config


def test_training_goes_on_while_writing():
    writer, gate, done = BackgroundWriter(), threading.Event(), []
    writer.submit(lambda: (gate.wait(10), done.append(1)))
    assert not done
    gate.set()
    writer.submit(lambda: done.append(2))  # waits for the first
    writer.finish()
    assert done == [1, 2]


def test_an_error_surfaces_once_at_the_next_call(tmp_path):
    writer = BackgroundWriter()
    writer.submit(lambda: write_checkpoint({}, tmp_path / 'missing' / 'epoch_1.pth'))
    with pytest.raises(CheckpointError, match='earlier checkpoints are untouched'):
        writer.submit(lambda: None)
    writer.finish()


def test_copy_is_cut_off_and_keeps_ties():
    shared = torch.ones(3)
    state = plain_copy(dict(a=shared, b=[shared, shared[:2]]))
    shared.zero_()
    assert state['a'] is state['b'][0] and state['a'].sum() == 3 and state['b'][1].sum() == 2


def test_checkpoint_is_of_its_step_though_training_went_on(tmp_path, monkeypatch):
    gate = threading.Event()

    def slow(state, path):
        gate.wait(20)
        write_checkpoint(state, path)

    plain = small_config(tmp_path / 'plain', log_level='ERROR')
    build(plain).train()
    monkeypatch.setattr('internvideo.engine.runner.write_checkpoint', slow)
    config = small_config(tmp_path / 'slow', log_level='ERROR')
    config.default_hooks.checkpoint.pop('save_best')
    runner = build(config)
    threading.Timer(0.5, gate.set).start()
    runner.train()
    for epoch in (1, 2):
        first, second = (final_state(tmp_path / name, epoch) for name in ('plain', 'slow'))
        for name, weight in first['train_state_dict'].items():
            assert torch.equal(weight, second['train_state_dict'][name])


def test_full_disk_stops_training(tmp_path, monkeypatch):
    def full(state, path):
        raise CheckpointError(f'cannot write checkpoint {path}: no space')

    monkeypatch.setattr('internvideo.engine.runner.write_checkpoint', full)
    with pytest.raises(CheckpointError, match='no space'):
        build(small_config(tmp_path, log_level='ERROR')).train()
