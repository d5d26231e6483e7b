"""The contrastive loss in one and in two processes."""

import pytest
import torch

from internvideo.models.losses.contrastive import ContrastiveLoss, similarity
from internvideo.models.losses.gathering import gather_features
from tests.processes import in_processes

IDS = torch.tensor([3, 1, 3, 2, 1, 5])


def features(tokens=False):
    generator = torch.Generator().manual_seed(0)
    shape = (6, 4, 8) if tokens else (6, 8)
    return torch.randn(shape, generator=generator), torch.randn(6, 8, generator=generator)


def run(sides, ids, gather_gradient='local', aggregate='mean'):
    """Loss and gradients of features and temperature."""
    leaves = [side.clone().requires_grad_() for side in sides]
    temp = torch.tensor(0.2, requires_grad=True)
    loss = ContrastiveLoss(gather_gradient, aggregate)(*leaves, temp, ids)
    loss.backward()
    return [loss.detach().numpy(), *(leaf.grad.numpy() for leaf in [*leaves, temp])]


def run_share(rank):
    """What one of two processes gets, with both gradients and with tokens on one side."""
    rows = slice(3 * rank, 3 * rank + 3)
    share = [side[rows] for side in features()]
    tokens = [side[rows] for side in features(tokens=True)]
    return dict(
        local=run(share, IDS[rows]),
        sum=run(share, IDS[rows], 'sum'),
        unnamed=run(share, None, 'sum'),
        tokens=run(tokens, IDS[rows], 'sum', 'max'),
    )


@pytest.fixture(scope='module')
def shares():
    return in_processes(2, run_share)


@pytest.mark.parametrize(
    ('kind', 'factor'), [('local', 1), ('sum', 2), ('unnamed', 2), ('tokens', 2)]
)
def test_two_processes_equal_one(shares, kind, factor):
    ids = None if kind == 'unnamed' else IDS
    tokens = kind == 'tokens'
    whole = run(features(tokens), ids, aggregate='max' if tokens else 'mean')
    parts = [share[kind] for share in shares]
    for part in parts:
        torch.testing.assert_close(part[0], whole[0])
        torch.testing.assert_close(part[3], whole[3])
    for side in (1, 2):
        joined = torch.cat([torch.as_tensor(part[side]) for part in parts])
        torch.testing.assert_close(joined, factor * torch.as_tensor(whole[side]))


def test_rows_of_one_id_are_positives_of_each_other():
    first, second = features()
    ids = torch.zeros(6, dtype=torch.long)
    loss = ContrastiveLoss()(first, second, torch.tensor(1.0), ids)
    unit = [torch.nn.functional.normalize(x, dim=-1) for x in (first, second)]
    scores = unit[0] @ unit[1].T
    expected = -(scores.log_softmax(0).mean() + scores.log_softmax(1).mean()) / 2
    torch.testing.assert_close(loss, expected)


def test_one_process_gathers_nothing():
    x = torch.randn(2, 3)
    assert gather_features(x) is x


@pytest.mark.parametrize(
    ('call', 'message'),
    [
        (lambda: ContrastiveLoss('all'), "gather_gradient must be one of local, sum, got 'all'"),
        (lambda: ContrastiveLoss(aggregate='min'), "aggregate must be .*'min'"),
        (lambda: ContrastiveLoss()(torch.ones(2, 3), torch.ones(3, 3), 1.0), 'do not pair up'),
        (lambda: similarity(torch.ones(2, 3, 4), torch.ones(2, 3, 4), 1.0), 'only one side'),
    ],
)
def test_bad_input_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()
