"""Changes of tensors between two models: patch kernels, prefixes of names.

Plain functions on tensors and state dicts, shared by the adapters of all families.  None of them
changes its input.
"""

from collections.abc import Iterable, Mapping

from torch import Tensor

State = dict[str, Tensor]


def inflate_patch_kernel(weight: Tensor, tubelet_size: int, *, center: bool = True) -> Tensor:
    """Turn a 2-D patch kernel into a 3-D one of depth ``tubelet_size``.

    Args:
        weight: (O, C, h, w) or (O, C, 1, h, w).
        tubelet_size: wanted depth.
        center: put the kernel at index ⌊tubelet_size / 2⌋ and zeros elsewhere; otherwise copy it
            everywhere, divided by ``tubelet_size``.  Both keep the response to a still video.

    Raises:
        ValueError: the kernel already spans several frames.
    """
    if weight.ndim == 4:
        weight = weight[:, :, None]
    if weight.shape[2] != 1:
        raise ValueError(
            f'patch kernel of depth {weight.shape[2]} cannot be inflated, only depth 1'
        )
    if not center:
        return weight.repeat(1, 1, tubelet_size, 1, 1) / tubelet_size
    inflated = weight.new_zeros(*weight.shape[:2], tubelet_size, *weight.shape[3:])
    inflated[:, :, tubelet_size // 2] = weight[:, :, 0]
    return inflated


def average_patch_kernel(weight: Tensor) -> Tensor:
    """Average a patch kernel (O, C, t, h, w) over time to (O, C, 1, h, w)."""
    return weight.mean(dim=2, keepdim=True)


def strip_prefix(name: str, prefixes: Iterable[str]) -> str:
    """Remove the first of ``prefixes`` that ``name`` starts with, once."""
    prefix = next((p for p in prefixes if name.startswith(p)), '')
    return name.removeprefix(prefix)


def strip_prefixes(state: Mapping[str, Tensor], prefixes: Iterable[str]) -> State:
    """Apply :func:`strip_prefix` to every name in order.

    Raises:
        ValueError: two entries end up with the same name.
    """
    prefixes = tuple(prefixes)
    stripped = {strip_prefix(name, prefixes): tensor for name, tensor in state.items()}
    if len(stripped) < len(state):
        raise ValueError(f'removing the prefixes {", ".join(prefixes)} makes two entries collide')
    return stripped
