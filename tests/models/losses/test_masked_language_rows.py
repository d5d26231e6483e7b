"""Which rows the masked-language head sees."""

import torch

from internvideo.models.losses.masked_language import IGNORED, masked_language_loss, targets_only


def test_rows_without_target_change_neither_loss_nor_gradient():
    torch.manual_seed(0)
    hidden = torch.randn(2, 5, 4, requires_grad=True)
    labels = torch.tensor([[IGNORED, 1, 2, IGNORED, 0], [IGNORED] * 5])
    table = torch.randn(3, 4)
    whole = masked_language_loss(hidden @ table.T, labels)
    (expected,) = torch.autograd.grad(whole, hidden)
    rows, targets = targets_only(hidden, labels)
    assert rows.shape == (3, 4)
    loss = masked_language_loss(rows @ table.T, targets)
    torch.testing.assert_close(loss, whole)
    torch.testing.assert_close(torch.autograd.grad(loss, hidden)[0], expected)


def test_no_target_at_all_is_no_loss():
    rows, targets = targets_only(torch.randn(1, 2, 4), torch.full((1, 2), IGNORED))
    assert masked_language_loss(rows @ torch.ones(4, 3), targets) == 0
