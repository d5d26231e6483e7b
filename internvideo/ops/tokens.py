"""Selection and averaging of the tokens of an encoder."""

import torch
from torch import Tensor


def take_tokens(tokens: Tensor, positions: Tensor) -> Tensor:
    """Rows ``positions`` (B, M) of ``tokens`` (B, N, D): (B, M, D)."""
    return tokens.gather(1, positions[:, :, None].expand(-1, -1, tokens.shape[-1]))


def visible_positions(mask: Tensor, size: torch.Size, num_visible: int | None = None) -> Tensor:
    """Positions (B, M) of the tokens that a mask leaves visible, ascending.

    Args:
        mask: (B, N) bool, True hides a token; the same number is visible in every row.
        size: B and N that are wanted.
        num_visible: M, when the caller knows; it spares a device synchronisation.

    Raises:
        ValueError: the mask has another shape or dtype, or rows differ in visible count.
    """
    if mask.dtype != torch.bool or mask.shape != size:
        raise ValueError(
            f'mask must be bool of shape {tuple(size)}, got {mask.dtype} of shape '
            f'{tuple(mask.shape)}'
        )
    counts = (~mask).sum(dim=1)
    if num_visible is None:
        # Waits for the device, which callers who know the number avoid.
        distinct = counts.unique().tolist()
        if len(distinct) != 1:
            raise ValueError(f'mask rows differ in their number of visible tokens: {distinct}')
        num_visible = distinct[0]
    else:
        # Asynchronous: an ordinary check would wait for the device in every step.
        torch._assert_async((counts == num_visible).all(), 'mask does not fit num_visible')
    # A stable sort puts the visible positions first and keeps their order.
    return torch.argsort(mask.to(torch.uint8), dim=1, stable=True)[:, :num_visible]


def gather_visible(x: Tensor, mask: Tensor, num_visible: int | None = None) -> Tensor:
    """Keep the tokens of ``x`` (B, N, D) where ``mask`` (B, N) is False, in order: (B, M, D).

    Arguments and errors are those of :func:`visible_positions`.
    """
    return take_tokens(x, visible_positions(mask, x.shape[:2], num_visible))


def mean_over_time(table: Tensor, steps: int) -> Tensor:
    """(1, 1 + steps * S, D) -> (1, 1 + S, D): the rows of each patch averaged over time."""
    patches = table[:, 1:].unflatten(1, (steps, -1)).mean(dim=1)
    return torch.cat([table[:, :1], patches], dim=1)


def merge_frames(tokens: Tensor, steps: int) -> Tensor:
    """(B*T, 1+S, D) -> (B, 1 + T*S, D): mean class token, then the patches of all frames."""
    tokens = tokens.unflatten(0, (-1, steps))
    cls_token = tokens[:, :, 0].mean(dim=1, keepdim=True)
    return torch.cat([cls_token, tokens[:, :, 1:].flatten(1, 2)], dim=1)
