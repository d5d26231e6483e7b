"""Contrast with queued keys: values, order of the queue, processes, resuming."""

import pytest
import torch
import torch.nn.functional as F

from internvideo.models.losses.contrastive import ContrastiveLoss
from internvideo.models.losses.momentum_queue import QueuedContrastiveLoss
from tests.processes import in_processes

TEMP = torch.tensor(0.2)


def batches(number, size=4, dim=6):
    torch.manual_seed(0)
    return [[torch.randn(size, dim) for _ in range(4)] for _ in range(number)]


def written_out(first, second, first_keys, second_keys, old_first, old_second):
    """The loss with every key named, for one process."""
    sides = [F.normalize(x, dim=-1) for x in (first, second, first_keys, second_keys)]
    losses = [
        F.cross_entropy(rows @ torch.cat([keys, *old]).T / TEMP, torch.arange(len(rows)))
        for rows, keys, old in (
            (sides[0], sides[3], old_second),
            (sides[1], sides[2], old_first),
        )
    ]
    return sum(losses) / 2


def test_an_empty_queue_leaves_the_contrast_of_the_batch():
    first, second, *_ = batches(1)[0]
    loss = QueuedContrastiveLoss(6, 8)(first, second, first, second, TEMP)
    torch.testing.assert_close(loss, ContrastiveLoss('sum')(first, second, TEMP))


def test_earlier_keys_are_negatives_until_they_fall_out():
    loss, old = QueuedContrastiveLoss(6, 8), ([], [])
    for batch in batches(4):
        value = loss(*batch, TEMP)
        torch.testing.assert_close(value, written_out(*batch, old[0][-2:], old[1][-2:]))
        for keys, side in zip(batch[2:], old, strict=True):
            side.append(F.normalize(keys, dim=-1))


def test_weights_in_bfloat16_compare_in_float32():
    plain, rounded = QueuedContrastiveLoss(6, 8), QueuedContrastiveLoss(6, 8).bfloat16()
    for batch in batches(3):
        value = rounded(*(x.bfloat16() for x in batch), TEMP.bfloat16())
        assert value.dtype == torch.float32
        torch.testing.assert_close(value, plain(*batch, TEMP), rtol=2e-2, atol=0)


def test_keys_have_no_gradient():
    batch = [x.requires_grad_() for x in batches(1)[0]]
    QueuedContrastiveLoss(6, 8)(*batch, TEMP).backward()
    assert [x.grad is not None for x in batch] == [True, True, False, False]


def test_a_resumed_queue_goes_on():
    whole, parts = QueuedContrastiveLoss(6, 8), QueuedContrastiveLoss(6, 8)
    *before, last = batches(4)
    for batch in before:
        whole(*batch, TEMP)
        parts(*batch, TEMP)
    resumed = QueuedContrastiveLoss(6, 8)
    resumed.load_state_dict(parts.state_dict())
    assert torch.equal(resumed(*last, TEMP), whole(*last, TEMP))
    for name, value in whole.state_dict().items():
        assert torch.equal(resumed.state_dict()[name], value)


def run_share(rank, given):
    loss, temp = QueuedContrastiveLoss(6, 8), TEMP.clone().requires_grad_()
    for batch in given:
        share = [x.chunk(2)[rank].requires_grad_() for x in batch]
        value = loss(*share, temp)
    value.backward()
    # Averaged over processes, as data parallelism averages gradients of parameters.
    grads = [x.grad / 2 for x in share[:2]]
    return value.detach(), grads, temp.grad, dict(loss.state_dict())


def test_processes_share_one_queue_in_the_order_of_ranks():
    given, temp = batches(3), TEMP.clone().requires_grad_()
    loss = QueuedContrastiveLoss(6, 8)
    for batch in given:
        whole = [x.clone().requires_grad_() for x in batch]
        value = loss(*whole, temp)
    value.backward()
    for rank, (found, grads, temp_grad, state) in enumerate(in_processes(2, run_share, given)):
        torch.testing.assert_close(found, value.detach())
        torch.testing.assert_close(temp_grad, temp.grad)
        wanted = [x.grad.chunk(2)[rank] for x in whole[:2]]
        torch.testing.assert_close(grads, wanted)
        for name, buffer in loss.state_dict().items():
            torch.testing.assert_close(state[name], buffer)


@pytest.mark.parametrize(
    ('call', 'message'),
    [
        (lambda: QueuedContrastiveLoss(6, 0), 'queue_size must be positive'),
        (
            lambda: QueuedContrastiveLoss(6, 10)(*batches(1)[0], TEMP),
            'queue_size=10 is not divisible by the global batch of 4',
        ),
        (
            lambda: QueuedContrastiveLoss(6, 2)(*batches(1)[0], TEMP),
            'queue_size=2 is not divisible by the global batch of 4',
        ),
    ],
)
def test_bad_input_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()
