"""Alignment under DistributedDataParallel: two processes do what one does with both batches."""

import numpy as np
import pytest
import torch

from internvideo.engine.strategies.ddp import DDP
from internvideo.models.tasks.pretraining.precomputed import (
    TargetManifest,
    compute_entries,
    write_part,
)
from internvideo.structures import VideoDataSample
from tests.processes import in_processes

from .small_models import build, pretraining

LAYERS = dict(clip_layers=[0, 1], mae_layers=[0, 1])
WITHOUT_FINAL = dict(loss=dict(type='AlignmentLoss', clip_final=0), **LAYERS)


def clips():
    torch.manual_seed(1)
    samples = [VideoDataSample(metainfo=dict(path=f'{i}.mp4')) for i in range(4)]
    return torch.randn(4, 3, 4, 28, 28), samples


def student(root, fields):
    """The same student in every process; masks come from files and so are given."""
    torch.manual_seed(0)
    return build(pretraining(targets=dict(type='PrecomputedTargets', root=str(root)), **fields))


def step(root, fields, rank=0, world=1):
    """Mean loss and gradients of this process after two steps' worth of backward passes."""
    model = student(root, fields)
    wrapped = model if world == 1 else DDP().wrap_model(model)
    video, samples = clips()
    rows = range(rank, 4, world)
    for _ in range(2):  # DDP complains about unused parameters in the second
        model.zero_grad()
        loss = sum(wrapped(video[rows], [samples[i] for i in rows], mode='loss').values())
        loss.backward()
    grads = [p.grad for p in model.parameters() if p.requires_grad]
    return loss.item(), torch.cat([grad.flatten() for grad in grads]).numpy()


def rank_step(rank, root, fields):
    return step(root, fields, rank, world=2)


@pytest.fixture
def root(tmp_path):
    torch.manual_seed(0)
    model, (video, samples) = build(pretraining()), clips()
    TargetManifest(
        facts=model.targets.facts,
        grid=model.backbone.grid,
        tokens='visible',
        num_crops=1,
        num_rows=4,
        part_size=4,
        seed=0,
        norms=('l2', 'l2'),
        digest='0123456789abcdef',
        dtype='float32',
    ).write(tmp_path)
    write_part(tmp_path, 0, [compute_entries(model, video, samples, 'visible', torch.float32)])
    return tmp_path


@pytest.mark.slow
@pytest.mark.parametrize('fields', [{}, WITHOUT_FINAL], ids=['all_terms', 'without_final'])
def test_two_processes_give_loss_and_gradients_of_one(root, fields):
    loss, grads = step(root, fields)
    shares = in_processes(2, rank_step, root, fields)
    assert sum(share for share, _ in shares) / 2 == pytest.approx(loss, abs=1e-5)
    for _, own in shares:
        np.testing.assert_allclose(own, grads, rtol=1e-5, atol=1e-5)
