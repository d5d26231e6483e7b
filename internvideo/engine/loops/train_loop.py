"""Training by epochs, able to start in the middle of one."""

import itertools
from collections.abc import Iterator
from typing import Any

import torch
from mmengine.dist import all_gather_object
from mmengine.runner import BaseLoop
from torch import nn
from torch.utils.data import DataLoader

from internvideo.checkpoint.training_state.random_state import isolated_random_state
from internvideo.datasets.samplers.keyed_sampler import tell_epochs
from internvideo.engine.optimizers.optim_wrappers import NonFiniteError
from internvideo.registry import LOOPS


@LOOPS.register_module()
class TrainLoop(BaseLoop):
    """Train for ``max_epochs``, validating every ``val_interval`` epochs and at the end.

    An epoch has a whole number of optimiser steps: the last batches that would not fill one
    (gradient accumulation) are left out, as the published recipes do.  Validation and the start
    of loader workers draw from generators of their own, so neither changes the training.

    Args:
        runner: The runner.
        dataloader: Training data (a config or a loader).  A sampler with ``skip(num_samples)``
            lets a resumed run continue mid-epoch without reading what was already seen.  So does
            a batch sampler of its own with ``set_epoch``, ``skip(num_batches)``, ``layout`` and
            ``samples_before(num_batches)`` (:class:`MediaBatchSampler`).  Rows of any other sampler
            are given the epoch, see :class:`KeyedSampler`.
        max_epochs: Number of passes over the data.
        val_begin: First epoch that is validated.
        val_interval: Epochs between validations.

    Raises:
        ValueError: the loader has fewer batches than one optimiser step needs, or ``max_epochs``
            is not positive.
    """

    def __init__(
        self,
        runner: Any,
        dataloader: DataLoader | dict,
        max_epochs: int,
        val_begin: int = 1,
        val_interval: int = 1,
    ) -> None:
        super().__init__(runner, dataloader)
        tell_epochs(self.dataloader)
        accumulation = runner.accumulative_counts
        self.iters_per_epoch = len(self.dataloader) // accumulation * accumulation
        if self.iters_per_epoch == 0:
            raise ValueError(
                f'the training loader has {len(self.dataloader)} batches per process, fewer than '
                f'the {accumulation} of one optimiser step: lower train_dataloader.batch_size, '
                'the number of processes or accumulative_counts'
            )
        if max_epochs < 1:
            raise ValueError(f'train_cfg.max_epochs must be at least 1, got {max_epochs}')
        self.max_epochs, self.max_iters = int(max_epochs), int(max_epochs) * self.iters_per_epoch
        self.val_begin, self.val_interval = val_begin, val_interval
        self.epoch = 0
        self.iter = 0
        self.batches_done = 0
        self.first_batch = 0  # of this pass: above 0 after a resume inside an epoch
        self.validation_pending = False
        self._samples_of_step: list[str] = []
        self.stop_training = False
        self.held_random_state: dict | None = None

    @property
    def batch_order(self) -> Any:
        """Batch sampler that orders batches itself, or None if a sampler orders samples."""
        sampler = self.dataloader.batch_sampler
        return sampler if hasattr(sampler, 'set_epoch') else None

    @property
    def row_order(self) -> Any:
        """Sampler that orders samples, where no batch sampler does."""
        return getattr(self.dataloader.batch_sampler, 'sampler', self.dataloader.sampler)

    @property
    def samples_per_step(self) -> int:
        """Samples that all processes together draw for one batch each."""
        return self.dataloader.batch_sampler.batch_size * self.runner.world_size

    def progress(self) -> dict[str, Any]:
        """Progress of training in terms that do not depend on the number of processes.

        Batches that a batch sampler orders do depend on it: their number is kept too, and what
        they were made for.
        """
        # At the end of an epoch the progress is that of the beginning of the next one.
        whole = self.batches_done == self.iters_per_epoch
        epoch = self.epoch + whole
        batches = 0 if whole else self.batches_done
        progress = dict(
            epoch=epoch,
            iter=epoch * self.iters_per_epoch + batches,
            validation_pending=self.validation_pending or (whole and self._validates_after(epoch)),
        )
        order = self.batch_order
        if order is None:
            return progress | dict(samples_into_epoch=batches * self.samples_per_step)
        return progress | dict(
            samples_into_epoch=order.samples_before(batches) if batches else 0,
            batches_into_epoch=batches,
            batches_per_epoch=len(order),
            batch_layout=order.layout,
        )

    def restore(self, progress: dict[str, Any]) -> None:
        """Continue where ``progress`` says, under this run's batch size and process count."""
        self.epoch = progress['epoch']
        if self.batch_order is None:
            self.batches_done = self._batches_of(progress['samples_into_epoch'])
        else:
            self.batches_done = self._batches_like(progress)
        self.iter = self.epoch * self.iters_per_epoch + self.batches_done
        self.validation_pending = progress['validation_pending']

    def _batches_of(self, samples: int) -> int:
        """Number of whole batches in ``samples``, so that a part of a batch is read again."""
        batches, rest = divmod(samples, self.samples_per_step)
        if rest:
            self.runner.logger.warning(
                f'{rest} samples of epoch {self.epoch + 1} are seen again: the checkpoint stands '
                f'inside a global batch of {self.samples_per_step}'
            )
        return batches

    def _batches_like(self, progress: dict[str, Any]) -> int:
        """Batches of this run's order at which the checkpoint stands, as nearly as they can.

        Raises:
            ValueError: the checkpoint stands inside an epoch that no batch sampler ordered.
        """
        if not progress['samples_into_epoch']:
            return 0
        if 'batches_into_epoch' not in progress:
            raise ValueError(
                'the checkpoint stands inside an epoch of another kind of loader: resume from one '
                'between epochs'
            )
        done, before = progress['batches_into_epoch'], progress['batches_per_epoch']
        now, counts = self.batch_order.layout, self.runner.accumulative_counts
        if progress['batch_layout'] == now:
            return done
        # Another batch size or number of processes: only the share of the epoch carries over.
        share = int(done / before * self.iters_per_epoch) // counts * counts
        self.runner.logger.warning(
            f'epoch {self.epoch + 1} goes on after {share} of {self.iters_per_epoch} batches, as '
            f'far as after {done} of {before}, but in another order: some of its samples come '
            f'again, others not. The batches were made for {progress["batch_layout"]}, now for '
            f'{now}'
        )
        return share

    def run(self) -> nn.Module:
        """Train to the end and return the model."""
        self.runner.call_hook('before_train')
        self.runner.restore_random_state()
        try:
            self._run_epochs()
        except Exception as error:
            self.runner.call_hook('after_failure', error=error)  # a hook may explain it better
            raise
        self.runner.call_hook('after_train')
        return self.runner.model

    def _run_epochs(self) -> None:
        self._validate_if_pending()
        while self.epoch < self.max_epochs and not self.stop_training:
            self._run_epoch()
            self._validate_if_pending()

    def _validates_after(self, epoch: int) -> bool:
        due = epoch % self.val_interval == 0 or epoch == self.max_epochs
        return self.runner.val_loop is not None and epoch >= self.val_begin and due

    def _validate_if_pending(self) -> None:
        if not self.validation_pending or self.runner.val_loop is None:
            return
        # A checkpoint that is written meanwhile must hold the state that training goes on from.
        with isolated_random_state(self.runner.seed_for(self.epoch)) as outer:
            self.held_random_state = outer
            self.runner.val_loop.run()
        self.held_random_state = None
        self.validation_pending = False

    def _run_epoch(self) -> None:
        self.runner.call_hook('before_train_epoch')
        self.runner.model.train()  # validation has left it in evaluation mode
        for index, data_batch in self._batches():
            self._run_iter(index, data_batch)
        if self.batches_done != self.iters_per_epoch:
            raise RuntimeError(
                f'the training loader ended after {self.batches_done} of {self.iters_per_epoch} '
                f'batches of epoch {self.epoch + 1}'
            )
        self.runner.call_hook('after_train_epoch')
        self.epoch += 1
        self.batches_done = 0
        self.validation_pending = self._validates_after(self.epoch)

    def _batches(self) -> Iterator[tuple[int, Any]]:
        start = self.first_batch = self.batches_done
        sampler = self.batch_order or self.row_order
        each = 1 if self.batch_order else self.dataloader.batch_sampler.batch_size
        if hasattr(sampler, 'set_epoch'):
            sampler.set_epoch(self.epoch)
        skippable = hasattr(sampler, 'skip')
        # Before iter(), which starts workers that read ahead.
        if start and skippable:
            sampler.skip(start * each)
        # A loader draws its workers' base seed from torch's generator: a resumed run starts more
        # loaders than one that was never stopped.
        with isolated_random_state(self.runner.seed_for(self.epoch)):
            batches = iter(self.dataloader)
        if start and not skippable:
            self.runner.logger.warning(f'{start} batches are read again: the sampler cannot skip')
            batches = itertools.islice(batches, start, None)
        # zip() asks the range first, so that no batch beyond the last of the epoch is waited for.
        return zip(range(start, self.iters_per_epoch), batches, strict=False)

    def _run_iter(self, index: int, data_batch: Any) -> None:
        self.runner.call_hook('before_train_iter', batch_idx=index, data_batch=data_batch)
        outputs = self._guarded_step(data_batch, f'epoch {self.epoch + 1}, batch {index + 1}')
        self.batches_done = index + 1  # before the hooks, one of which may save
        self.runner.call_hook(
            'after_train_iter', batch_idx=index, data_batch=data_batch, outputs=outputs
        )
        # After the hooks: mmengine's intervals count from iter + 1.
        self.iter += 1

    def _guarded_step(self, data_batch: Any, where: str) -> dict:
        """Take one step, and report a non-finite one with the samples of all its batches."""
        wrapper = self.runner.optim_wrapper
        faults = getattr(wrapper, 'nonfinite_in_a_row', 0)
        self._samples_of_step += sample_names(data_batch)
        try:
            outputs = self.runner.model.train_step(data_batch, optim_wrapper=wrapper)
        except NonFiniteError as error:
            raise NonFiniteError(f'{error} ({where}; {self._name_culprits()})') from error
        if getattr(wrapper, 'nonfinite_in_a_row', 0) > faults:
            culprits = self._name_culprits()
            self.runner.logger.warning(f'a non-finite step is skipped ({where}; {culprits})')
        if wrapper.should_update():
            self._samples_of_step = []
        return outputs

    def _name_culprits(self) -> str:
        """Samples of this step on the processes whose loss is not finite, else on all."""
        own = (self.runner.optim_wrapper.fault_here, self._samples_of_step)
        parts = all_gather_object(own)  # every process skips or stops together
        at_fault = [rank for rank, (fault, _) in enumerate(parts) if fault]
        names = [
            f'rank {rank}: {", ".join(parts[rank][1])}' if len(parts) > 1 else ', '.join(own[1])
            for rank in at_fault or range(len(parts))
        ]
        return f'samples: {"; ".join(names)}'


def sample_names(data_batch: Any) -> list[str]:
    """The paths of a batch's data samples, or how many without a name it holds."""
    samples = data_batch.get('data_samples') if isinstance(data_batch, dict) else None
    paths = [str(sample.path) for sample in samples or () if hasattr(sample, 'path')]
    if paths:
        return paths
    size = next((len(v) for v in _leaves(data_batch) if isinstance(v, torch.Tensor) and v.ndim), 0)
    return [f'a batch of {size} unnamed samples']


def _leaves(value: Any) -> Iterator[Any]:
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list | tuple):
        for item in value:
            yield from _leaves(item)
    else:
        yield value
