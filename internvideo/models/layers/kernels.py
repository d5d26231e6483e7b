"""Finds optional fused kernels at run time; nothing here is needed to run a model."""

import functools
import importlib
import importlib.util
from collections.abc import Callable

Fused = bool | str

_NORM_HINT = 'flash_attn (with triton) or NVIDIA apex'
_MLP_HINT = 'flash_attn with its fused_dense extension'


def check_fused(fused: Fused) -> Fused:
    """Return ``fused`` when it is ``'auto'``, ``True`` or ``False``, else raise ValueError."""
    if fused not in ('auto', True, False):
        raise ValueError(f"fused must be 'auto', True or False, got {fused!r}")
    return fused


def has_flash_attn() -> bool:
    """Whether the flash_attn package is installed."""
    return importlib.util.find_spec('flash_attn') is not None


@functools.cache
def _load(module: str, name: str) -> Callable | None:
    # A package built for another torch fails with OSError or RuntimeError at import.
    try:
        return getattr(importlib.import_module(module), name)
    except (ImportError, OSError, RuntimeError, AttributeError):
        return None


def _flash_rms_norm() -> Callable | None:
    kernel = _load('flash_attn.ops.triton.layer_norm', 'rms_norm_fn')
    if kernel is None:
        return None
    return lambda x, weight, eps: kernel(x, weight, None, eps=eps)


def _apex_rms_norm() -> Callable | None:
    kernel = _load('apex.normalization.fused_layer_norm', 'fused_rms_norm_affine')
    if kernel is None:
        return None
    return lambda x, weight, eps: kernel(x, weight, weight.shape, eps)


def fused_rms_norm(fused: Fused) -> Callable | None:
    """A kernel ``(x, weight, eps) -> y``, or None when there is none or it is not wanted.

    Raises:
        ImportError: ``fused`` is True and no kernel can be imported.
    """
    if not check_fused(fused):
        return None
    kernel = _flash_rms_norm() or _apex_rms_norm()
    if kernel is None and fused is True:
        raise ImportError(f"fused=True needs {_NORM_HINT}; set fused='auto' or fused=False")
    return kernel


def fused_mlp(fused: Fused) -> Callable | None:
    """A kernel ``(x, fc1, fc2) -> y`` for tanh GELU, or None; raises as :func:`fused_rms_norm`."""
    if not check_fused(fused):
        return None
    kernel = _load('flash_attn.ops.fused_dense', 'fused_mlp_func')
    if kernel is None:
        if fused is True:
            raise ImportError(f"fused=True needs {_MLP_HINT}; set fused='auto' or fused=False")
        return None
    return lambda x, fc1, fc2: kernel(
        x, fc1.weight, fc2.weight, fc1.bias, fc2.bias, activation='gelu_approx'
    )
