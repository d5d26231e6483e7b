"""Pictures of what a masked autoencoder makes up, in the course of its training."""

from pathlib import Path
from typing import Any

import torch
from mmengine.dist import is_main_process
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper

from internvideo.registry import HOOKS
from internvideo.structures.reconstruction import Reconstruction
from internvideo.visualization.reconstructions import draw_reconstructions, write_picture

FOLDER = 'reconstructions'


@HOOKS.register_module()
class ReconstructionHook(Hook):
    """Draws input, visible part and reconstruction of a few training clips every so often.

    The clips are those of the first batch, under the same masks each time, so that pictures of a
    run can be compared; a resumed run takes others.  They go to ``reconstructions/`` in the work
    directory and to the visualizer, their mean loss to the log.  Training draws the same random
    numbers with the hook and without.

    Args:
        interval: epochs (or iterations) between pictures.
        by_epoch: count epochs.
        num_clips: clips in a picture.
        seed: of the masks.

    Raises:
        ValueError: a number below 1; when training begins, a model that reconstructs nothing.
    """

    priority = 'LOW'

    def __init__(
        self, interval: int = 1, by_epoch: bool = True, num_clips: int = 4, seed: int = 0
    ) -> None:
        if interval < 1 or num_clips < 1:
            raise ValueError(
                f'ReconstructionHook: interval={interval} and num_clips={num_clips} must be above 0'
            )
        self.interval, self.by_epoch = interval, by_epoch
        self.num_clips, self.seed = num_clips, seed
        self._clips: torch.Tensor | None = None

    def before_train(self, runner: Any) -> None:
        """Refuse models that have nothing to draw."""
        model = runner.model.module if is_model_wrapper(runner.model) else runner.model
        if not hasattr(model, 'reconstruct'):
            raise ValueError(f'ReconstructionHook: {type(model).__name__} reconstructs nothing')
        self._clips = None

    def after_train_iter(
        self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: dict | None = None
    ) -> None:
        """Keep the clips of the first batch, and draw by iterations."""
        if self._clips is None and data_batch is not None:
            inputs = data_batch['inputs']
            # One view of each, and a copy: a batch in pinned memory must not stay alive.
            if inputs is not None:
                self._clips = torch.stack([clip[:1] for clip in inputs[: self.num_clips]])
        if not self.by_epoch and self.every_n_train_iters(runner, self.interval):
            self._draw(runner, f'iter_{runner.iter + 1}', runner.iter + 1)

    def after_train_epoch(self, runner: Any) -> None:
        """Draw by epochs."""
        if self.by_epoch and self.every_n_epochs(runner, self.interval):
            self._draw(runner, f'epoch_{runner.epoch + 1}', runner.iter)

    def _draw(self, runner: Any, name: str, step: int) -> None:
        if self._clips is None:
            return
        # All processes compute, since those of a sharded model have to; one writes.
        made = self._reconstruct(runner.model)
        if not is_main_process():
            return
        names = [f'{name}, clip {number + 1}' for number in range(len(made.losses))]
        picture = draw_reconstructions(made, names)
        folder = Path(runner.work_dir) / FOLDER
        folder.mkdir(parents=True, exist_ok=True)
        write_picture(picture, folder / f'{name}.png')
        loss = float(made.losses.mean())
        runner.logger.info(f'{name}: reconstruction loss {loss:.4f}: {folder / name}.png')
        if runner.visualizer is not None:
            runner.visualizer.add_image('reconstructions', picture, step=step)

    @torch.no_grad()
    def _reconstruct(self, model: torch.nn.Module) -> Reconstruction:
        inner = model.module if is_model_wrapper(model) else model
        was_training = model.training
        devices = {p.device for p in model.parameters() if p.device.type == 'cuda'}
        with torch.random.fork_rng(sorted(devices, key=str)):
            torch.manual_seed(self.seed)
            batch = inner.data_preprocessor(dict(inputs=self._clips, data_samples=None), False)
            model.eval()
            try:
                return model(**batch, mode='reconstruct')
            finally:
                model.train(was_training)
