"""Optional fused kernels, found at run time."""

import functools
import importlib
import importlib.util
from collections.abc import Callable

from torch import Tensor, nn

Fused = bool | str

_FLASH_NORM = ('flash_attn.ops.triton.layer_norm', 'rms_norm_fn')
_APEX_NORM = ('apex.normalization.fused_layer_norm', 'fused_rms_norm_affine')
_FLASH_MLP = ('flash_attn.ops.fused_dense', 'fused_mlp_func')


def check_fused(fused: Fused) -> Fused:
    """Return ``fused`` when it is ``'auto'``, ``True`` or ``False``, else raise ValueError."""
    if fused not in ('auto', True, False):
        raise ValueError(f"fused must be 'auto', True or False, got {fused!r}")
    return fused


def has_flash_attn() -> bool:
    """Whether the flash_attn package is installed."""
    # Not imported: that would load its compiled library even where no part of it is used.
    return importlib.util.find_spec('flash_attn') is not None


# Every norm and MLP of a model asks: an import that failed is not tried again.
@functools.cache
def _load(module: str, name: str) -> Callable | None:
    # A package built for another torch fails with OSError or RuntimeError at import.
    try:
        return getattr(importlib.import_module(module), name, None)
    except (ImportError, OSError, RuntimeError):
        return None


def _flash_rms_norm(x: Tensor, weight: Tensor, eps: float) -> Tensor:
    return _load(*_FLASH_NORM)(x, weight, None, eps=eps)


def _apex_rms_norm(x: Tensor, weight: Tensor, eps: float) -> Tensor:
    return _load(*_APEX_NORM)(x, weight, weight.shape, eps)


def _flash_mlp(x: Tensor, fc1: nn.Linear, fc2: nn.Linear) -> Tensor:
    # gelu_approx is its name for the tanh GELU.
    return _load(*_FLASH_MLP)(
        x, fc1.weight, fc2.weight, fc1.bias, fc2.bias, activation='gelu_approx'
    )


def _first_present(
    candidates: dict[tuple[str, str], Callable], fused: Fused, packages: str
) -> Callable | None:
    if not check_fused(fused):
        return None
    for place, kernel in candidates.items():
        if _load(*place) is not None:
            return kernel
    if fused is True:
        raise ImportError(f"fused=True needs {packages}; set fused='auto' or fused=False")
    return None


def fused_rms_norm(fused: Fused) -> Callable[[Tensor, Tensor, float], Tensor] | None:
    """A kernel ``(x, weight, eps) -> y``, or None when there is none or it is not wanted.

    Raises:
        ValueError: ``fused`` is neither ``'auto'`` nor a bool.
        ImportError: ``fused`` is True and no kernel can be imported.
    """
    candidates = {_FLASH_NORM: _flash_rms_norm, _APEX_NORM: _apex_rms_norm}
    return _first_present(candidates, fused, 'flash_attn (with triton) or NVIDIA apex')


def fused_mlp(fused: Fused) -> Callable[[Tensor, nn.Linear, nn.Linear], Tensor] | None:
    """Kernel ``(x, fc1, fc2) -> y`` for tanh GELU, or None (see :func:`fused_rms_norm`)."""
    return _first_present({_FLASH_MLP: _flash_mlp}, fused, 'flash_attn with fused_dense_lib')
