"""Layer scale and stochastic depth between a branch and the residual stream."""

import torch
from torch import Tensor, nn


class LayerScale(nn.Module):
    """One learned factor ``gamma`` per channel, starting at ``init_value``.

    Args:
        dim: number of channels.
        init_value: first value of every factor.
        force_fp32: multiply in float32 whatever the dtype around, autocast included.
    """

    def __init__(self, dim: int, init_value: float, force_fp32: bool = True) -> None:
        super().__init__()
        self.init_value = init_value
        self.force_fp32 = force_fp32
        self.gamma = nn.Parameter(torch.empty(dim))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        nn.init.constant_(self.gamma, self.init_value)


# timm's DropPath and LayerScale give the same numbers, which a test compares, but importing
# timm.layers takes 2.5 s of processor time (all of a model here: 1.2 s), and add_branch needs the
# drawn factor and the scale before they are applied, to fuse them with the sum.
class DropPath(nn.Module):
    """Stochastic depth: drops a branch for whole samples, rescaling the kept ones.

    Args:
        rate: probability that an entry is dropped.
        axis: whose entries are drawn; 0 is that of samples, as the papers describe it.
    """

    def __init__(self, rate: float, axis: int = 0) -> None:
        super().__init__()
        if not 0.0 <= rate < 1.0:
            raise ValueError(f'drop_path_rate must be in [0, 1), got {rate}')
        self.rate, self.axis = rate, axis

    def draw(self, x: Tensor) -> Tensor | None:
        """Factor per entry of the axis, such as (B, 1, ...), in float32: 0 or 1/(1-rate).

        None when nothing drops.
        """
        if not self.training or self.rate == 0.0:
            return None
        keep = 1.0 - self.rate
        shape = [1] * x.ndim
        shape[self.axis] = x.shape[self.axis]
        # Drawn in float32 whatever the run computes in: the same samples drop in every dtype.
        return torch.empty(shape, device=x.device).bernoulli_(keep).div_(keep)

    def forward(self, x: Tensor) -> Tensor:
        factor = self.draw(x)
        return x if factor is None else x * factor.to(x.dtype)

    def extra_repr(self) -> str:
        return f'rate={self.rate}'


def add_branch(
    stream: Tensor, branch: Tensor, scale: LayerScale | None, drop_path: DropPath
) -> Tensor:
    """Compute ``stream + drop_path(scale * branch)`` in one pass, in ``stream.dtype``.

    Args:
        stream, branch: (B, N, D).
        scale: None leaves the branch unscaled.
    """
    if scale is None:
        return stream + drop_path(branch)
    if not scale.force_fp32:
        return stream + drop_path(branch * scale.gamma)
    factor = drop_path.draw(branch)
    # Scale and dropping in one small tensor, so that the large ones are read once.
    gamma = scale.gamma if factor is None else scale.gamma * factor
    # Outside autocast the kernel multiplies and adds in float32, rounds once, and keeps the branch
    # for the backward pass in its own (narrower) dtype.
    with torch.autocast(stream.device.type, enabled=False):
        return torch.addcmul(stream, branch, gamma.to(stream.dtype))
