"""AdamW in one kernel a step, where there is one."""

import importlib
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch.optim import Optimizer

from internvideo.registry import OPTIMIZERS


def apex_adam() -> Callable[..., Optimizer] | None:
    """NVIDIA apex's fused Adam, or None where it cannot be imported."""
    try:
        return importlib.import_module('apex.optimizers').FusedAdam
    # The package of that name on PyPI is another project; one built for another torch fails oddly.
    except (ImportError, AttributeError, OSError, RuntimeError):
        return None


@OPTIMIZERS.register_module()
def FusedAdamW(params: Iterable[Any], kernel: str = 'auto', **settings: Any) -> Optimizer:
    """AdamW with a fused step and the update and state of ``AdamW``.

    Args:
        params: parameters or parameter groups.
        kernel: ``'torch'``, ``'apex'``, or ``'auto'``: apex on CUDA where it is installed, else
            torch's.
        **settings: ``lr``, ``betas``, ``eps``, ``weight_decay``.

    Raises:
        ImportError: ``kernel='apex'`` and apex is not installed.
        ValueError: another ``kernel``.
    """
    if kernel not in ('auto', 'torch', 'apex'):
        raise ValueError(f"FusedAdamW: kernel must be 'auto', 'torch' or 'apex', got {kernel!r}")
    wanted = kernel == 'apex' or (kernel == 'auto' and torch.cuda.is_available())
    fused_adam = apex_adam() if wanted else None
    if kernel == 'apex' and fused_adam is None:
        raise ImportError("FusedAdamW: kernel='apex' needs NVIDIA apex; use kernel='torch'")
    if fused_adam is not None:
        return fused_adam(params, adam_w_mode=True, **settings)
    return torch.optim.AdamW(params, fused=True, **settings)
