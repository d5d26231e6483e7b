"""One training step traced without computing it: FLOPs, and bytes alive at every moment.

Tensors are fake: shapes and dtypes are followed through forward and backward, no memory is
allocated and no number is computed, so a model of any size is traced on a laptop.
"""

import weakref
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry
from torch.utils.hooks import RemovableHandle

ALLOCATION_UNIT = 512
"""Bytes; torch's CUDA allocator rounds up to it."""

aten = torch.ops.aten


def attention_flops(q: torch.Size, k: torch.Size, v: torch.Size) -> int:
    """``softmax(q k^T) v`` for (B, heads, M, D), (B, heads, N, D), (B, heads, N, E)."""
    batch, heads, rows, width = q
    return 2 * batch * heads * rows * k[2] * (width + v[3])


def attention_backward_flops(q: torch.Size, k: torch.Size, v: torch.Size) -> int:
    """The five products of a backward pass that recomputes the scores."""
    batch, heads, rows, width = q
    return 2 * batch * heads * rows * k[2] * (3 * width + 2 * v[3])


def _cpu_attention(q: Any, k: Any, v: Any, *_: Any) -> int:
    return attention_flops(q, k, v)


def _cpu_attention_backward(_: Any, q: Any, k: Any, v: Any, *__: Any) -> int:
    return attention_backward_flops(q, k, v)


def _matrix_vector(matrix: torch.Size, *_: Any) -> int:
    return 2 * matrix[0] * matrix[1]


OWN_FLOPS: dict[Any, Callable[..., int]] = {
    aten._scaled_dot_product_flash_attention_for_cpu: _cpu_attention,
    aten._scaled_dot_product_flash_attention_for_cpu_backward: _cpu_attention_backward,
    aten.mv: _matrix_vector,
}


@dataclass
class Flops:
    """Multiplications and additions of matrix products and convolutions.

    Attributes:
        forward: forward pass, frozen teachers included.
        backward: gradients.
        recompute: forward work repeated because of activation checkpointing.
    """

    forward: int = 0
    backward: int = 0
    recompute: int = 0

    @property
    def model(self) -> int:
        """FLOPs that the mathematics needs, as model FLOPs utilisation counts them."""
        return self.forward + self.backward

    def of_each(self, items: int) -> 'Flops':
        """The share of one of ``items`` items."""
        return Flops(*(round(value / items) for value in vars(self).values()))


@dataclass(frozen=True)
class Moment:
    """Peak of one stretch of a step: bytes of activations and scratch, and of gradients by then."""

    activations: int
    gradients: int


class StepTrace(TorchDispatchMode):
    """Counts FLOPs and live bytes of what runs inside it.

    Storages made inside count as activations until they are freed.  Parameters' gradients are
    taken away as they are completed (:meth:`watch`) and counted apart, since strategies keep them
    in different ways.
    """

    def __init__(self) -> None:
        super().__init__()
        self.flops = Flops()
        self.in_backward = False
        self.live = 0
        self.gradients = 0
        self.moments: list[Moment] = []
        self._peak = 0
        self._known: dict[int, Any] = {}

    def watch(self, *models: nn.Module) -> list[RemovableHandle]:
        """Take the tensors of ``models`` as given, and their gradients as they come.

        Returns:
            Handles that end this.
        """
        handles = []
        for model in models:
            for tensor in (*model.parameters(), *model.buffers()):
                # Weights are there all the time and counted by the strategy's layout, not as
                # activations.
                self._known[tensor.untyped_storage()._cdata] = None
            handles += [
                parameter.register_post_accumulate_grad_hook(self._take_gradient)
                for parameter in model.parameters()
                if parameter.requires_grad
            ]
        return handles

    def _take_gradient(self, parameter: Tensor) -> None:
        self._close_moment()
        self.gradients += _rounded(parameter.grad.untyped_storage().nbytes())
        # Its storage, live since the backward pass made it, is freed with this.
        parameter.grad = None

    def _close_moment(self) -> None:
        self.moments.append(Moment(self._peak, self.gradients))
        self._peak = self.live

    @property
    def peak(self) -> int:
        """Most bytes alive at once, without what is given and without gradients."""
        return max(moment.activations for moment in self.moments)

    def finish(self) -> list[Moment]:
        """The moments of the step."""
        self._close_moment()
        return self.moments

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Sequence = (), kwargs: dict | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if func.namespace != 'aten':
            return func(*args, **kwargs)
        if torch.is_inference_mode_enabled():  # there, composed operations arrive whole
            with self:
                outputs = func.decompose(*args, **kwargs)
            if outputs is not NotImplemented:
                return outputs
        outputs = func(*args, **kwargs)
        self._count(func.overloadpacket, args, kwargs, outputs)
        for leaf in outputs if isinstance(outputs, list | tuple) else (outputs,):
            if isinstance(leaf, Tensor):
                self._note(leaf.untyped_storage())
        return outputs

    def _count(self, op: Any, args: Sequence, kwargs: dict, outputs: Any) -> None:
        if op in OWN_FLOPS:
            shapes = [a.shape if isinstance(a, Tensor) else a for a in args]
            flops = OWN_FLOPS[op](*shapes)
        elif op in flop_registry:
            flops = flop_registry[op](*args, **kwargs, out_val=outputs)
        else:
            return
        # Autograd runs backward formulae without gradients; what records any is recomputation.
        if not self.in_backward:
            self.flops.forward += flops
        elif torch.is_grad_enabled():
            self.flops.recompute += flops
        else:
            self.flops.backward += flops

    def _note(self, storage: torch.UntypedStorage) -> None:
        key = storage._cdata
        if key in self._known:
            return
        size = _rounded(storage.nbytes())

        def freed(_: Any) -> None:
            self.live -= size
            del self._known[key]

        # Weak, so that the trace itself keeps nothing alive; the callback tells when memory is free
        # again.
        self._known[key] = weakref.ref(storage, freed)
        self.live += size
        self._peak = max(self._peak, self.live)


def _rounded(size: int) -> int:
    return -(-size // ALLOCATION_UNIT) * ALLOCATION_UNIT


def total_loss(losses: Any) -> Tensor:
    """Sum of the terms of a loss dict whose names say loss, as training sums them."""
    if isinstance(losses, Tensor):
        return losses
    terms = [
        leaf for name, value in losses.items() if 'loss' in name for leaf in tree_leaves(value)
    ]
    # A term may be a list, or have an entry for each sample: mmengine sums their means as well.
    return torch.stack([term.float().mean() for term in terms]).sum()


def trace_step(
    trace: StepTrace, step: Callable[[], Any], autocast: torch.dtype | None = None
) -> None:
    """Run ``step()``, which returns losses, and its backward pass inside ``trace``.

    Args:
        trace: what counts; it watches the model already.
        step: runs the forward pass.
        autocast: dtype of the forward pass's autocast; None for none.
    """
    with trace:
        with torch.autocast('cpu', dtype=autocast or torch.bfloat16, enabled=autocast is not None):
            loss = total_loss(step())
        trace.in_backward = True
        # Outside autocast, as training takes it: the backward pass follows the dtypes of the
        # forward.
        loss.backward()
        del loss
    trace.finish()


def trace_prediction(
    trace: StepTrace, predict: Callable[[], Any], autocast: torch.dtype | None = None
) -> None:
    """Run ``predict()`` without gradients inside ``trace`` (see :func:`trace_step`)."""
    enabled = autocast is not None
    precision = torch.autocast('cpu', dtype=autocast or torch.bfloat16, enabled=enabled)
    with trace, torch.no_grad(), precision:
        predict()
    trace.finish()
