"""GPUs and links, from the makers' data sheets (dense bfloat16, no sparsity)."""

from dataclasses import dataclass

GB = 10**9


@dataclass(frozen=True)
class Gpu:
    """One kind of GPU in nodes of eight.

    Attributes:
        name: as given to ``--gpu``.
        memory: bytes.
        flops: dense bfloat16 operations a second.
        node_link: bytes a second that one GPU sends to others of its node.
        network_link: bytes a second of one GPU's share of the node's network.
    """

    name: str
    memory: int
    flops: float
    node_link: float
    network_link: float
    gpus_per_node: int = 8


GPUS = {
    gpu.name: gpu
    for gpu in (
        Gpu('A100-40', 40 * GB, 312e12, 300e9, 25e9),
        Gpu('A100-80', 80 * GB, 312e12, 300e9, 25e9),
        Gpu('H100-80', 80 * GB, 989e12, 450e9, 50e9),
        Gpu('H200-141', 141 * GB, 989e12, 450e9, 50e9),
    )
}
MEMORIES = (40 * GB, 80 * GB, 141 * GB)

CONTEXT_BYTES = int(1.5 * GB)
"""CUDA context, cuBLAS and NCCL work space of one process."""
FRAGMENTATION = 0.05
"""Share of a GPU that torch's allocator holds and cannot use."""


def usable_memory(memory: int) -> int:
    """Bytes of a GPU that training can fill with tensors."""
    return int(memory * (1 - FRAGMENTATION)) - CONTEXT_BYTES


def gpu_by_name(name: str) -> Gpu:
    """The GPU called ``name``.

    Raises:
        ValueError: unknown; the message lists those known.
    """
    if name not in GPUS:
        raise ValueError(f'GPU {name!r} is not known; known: {", ".join(GPUS)}')
    return GPUS[name]
