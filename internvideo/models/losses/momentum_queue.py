"""Contrastive learning against keys of slowly moving encoders, kept in queues."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from internvideo.ops.features import normalise
from internvideo.registry import MODELS

from .gathering import gather_features, share_gradient, share_value, world


@MODELS.register_module()
class QueuedContrastiveLoss(nn.Module):
    """Symmetric contrastive loss with many more negatives than a batch has (MoCo, 1911.05722).

    A feature of one modality is compared with the other's keys: those of the global batch, of
    which the own pair's is the target, and those of earlier batches, in a queue.  Keys are
    features of momentum encoders and have no gradient.  The queues are buffers: a resumed run
    goes on with them, and they are equal in all processes, each of which puts in the keys of all
    in the order of ranks.  Until a queue is full its empty places do not count.

    Args:
        dim: E, width of the features.
        queue_size: keys of a modality that are kept.

    Raises:
        ValueError: a size that is not positive.
    """

    first_queue: Tensor
    second_queue: Tensor
    num_enqueued: Tensor

    def __init__(self, dim: int, queue_size: int = 65536) -> None:
        super().__init__()
        if queue_size < 1:
            raise ValueError(f'queue_size must be positive, got {queue_size}')
        self.queue_size = queue_size
        self.register_buffer('first_queue', torch.zeros(queue_size, dim))
        self.register_buffer('second_queue', torch.zeros(queue_size, dim))
        self.register_buffer('num_enqueued', torch.zeros((), dtype=torch.long))

    @property
    def is_empty(self) -> bool:
        """Whether no key was ever put in."""
        return not bool(self.num_enqueued)

    def forward(
        self, first: Tensor, second: Tensor, first_keys: Tensor, second_keys: Tensor, temp: Tensor
    ) -> Tensor:
        """Scalar loss, after which the keys are put into the queues.

        Args:
            first, second: (B, E) features, row by row of one pair; normalised here.
            first_keys, second_keys: (B, E) features of the same from the momentum encoders.
            temp: scalar temperature.

        Raises:
            ValueError: the global batch does not divide the queue.
        """
        with torch.autocast(first.device.type, enabled=False):
            keys = [
                gather_features(normalise(side.detach(), 'l2'))
                for side in (first_keys, second_keys)
            ]
            self._check_batch(len(keys[0]))
            temp = share_gradient(temp)
            forth = self._rows(normalise(first, 'l2'), keys[1], self.second_queue, temp)
            back = self._rows(normalise(second, 'l2'), keys[0], self.first_queue, temp)
            loss = share_value((forth + back) / 2)
        self._enqueue(*keys)
        return loss

    def _check_batch(self, size: int) -> None:
        if self.queue_size % size:
            raise ValueError(
                f'queue_size={self.queue_size} is not divisible by the global batch of {size} '
                'pairs: change one of them, and set drop_last in the loader'
            )

    def _rows(self, queries: Tensor, keys: Tensor, queue: Tensor, temp: Tensor) -> Tensor:
        # One new tensor: what the backward pass needs of the queue is not what changes below.
        scores = queries @ torch.cat([keys, queue.to(keys.dtype)]).T / temp
        places = torch.arange(len(keys) + self.queue_size, device=scores.device)
        is_empty = places >= len(keys) + self.num_enqueued
        own = world()[0] * len(queries) + torch.arange(len(queries), device=scores.device)
        return F.cross_entropy(scores.float().masked_fill(is_empty, -torch.inf), own)

    @torch.no_grad()
    def _enqueue(self, first: Tensor, second: Tensor) -> None:
        places = torch.arange(len(first), device=first.device) + self.num_enqueued
        for queue, keys in ((self.first_queue, first), (self.second_queue, second)):
            queue.index_copy_(0, places % self.queue_size, keys.to(queue.dtype))
        self.num_enqueued += len(first)
