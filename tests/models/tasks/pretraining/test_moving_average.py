"""Targets that follow their source, or stay."""

import pytest
import torch
from torch import nn

from internvideo.models.tasks.pretraining.moving_average import MovingTarget, update_average


def network(seed):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Dropout(0.5))


@pytest.mark.parametrize('momentum', [0.0, 0.9, 1.0])
def test_parameters_are_averaged_and_buffers_left(momentum):
    target, source = network(0), network(1)
    source(torch.randn(8, 3))  # moves the running statistics
    before = [p.clone() for p in target.parameters()]
    update_average(target, source, momentum)
    for old, new, other in zip(before, target.parameters(), source.parameters(), strict=True):
        torch.testing.assert_close(new, momentum * old + (1 - momentum) * other)
    assert torch.equal(target[1].running_mean, torch.zeros(4))


def test_momentum_one_changes_no_bit():
    target = network(0)
    before = [p.clone() for p in target.parameters()]
    update_average(target, network(1), 1.0)
    assert all(torch.equal(a, b) for a, b in zip(before, target.parameters(), strict=True))


def test_low_precision_sources_feed_a_float32_average():
    target, source = nn.Linear(2, 2), nn.Linear(2, 2).bfloat16()
    expected = 0.5 * target.weight + 0.5 * source.weight.float()
    update_average(target, source, 0.5)
    assert target.weight.dtype == torch.float32
    torch.testing.assert_close(target.weight, expected)


@pytest.mark.parametrize(
    ('source', 'message'),
    [(nn.Linear(3, 4, bias=False), 'bias'), (nn.Linear(2, 4), 'weight is')],
    ids=['another name', 'another shape'],
)
def test_other_layouts_are_named(source, message):
    with pytest.raises(ValueError, match=message):
        update_average(nn.Linear(3, 4), source, 0.5)


def test_momentum_out_of_range_is_refused():
    with pytest.raises(ValueError, match='momentum'):
        update_average(network(0), network(0), 1.5)
    with pytest.raises(ValueError, match='momentum'):
        MovingTarget(network(0), momentum=-0.1)


def test_a_target_gives_no_gradient_and_never_trains():
    source = network(0)
    target = MovingTarget(source, momentum=0.5)
    nn.Sequential(source, target).train()
    inputs = torch.randn(8, 3, requires_grad=True)
    first, second = target(inputs), target(inputs)
    assert source.training and not target.network[2].training
    assert torch.equal(first, second) and not first.requires_grad
    assert not any(p.requires_grad for p in target.parameters())
    nn.init.zeros_(source[0].weight)
    expected = target.network[0].weight / 2
    target.follow(source)
    torch.testing.assert_close(target.network[0].weight, expected)
