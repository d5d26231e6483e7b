"""Writing of which frames a test has seen."""

from typing import Any

from mmengine.dist import all_gather_object, is_main_process
from mmengine.hooks import Hook

from internvideo.datasets.frame_records import record_frames_of, record_of
from internvideo.engine.inference.run_header import run_header
from internvideo.evaluation.gathered_metric import merge_records
from internvideo.fileio.manifests import (
    FrameRecord,
    check_manifest_path,
    write_manifest,
)
from internvideo.registry import HOOKS


@HOOKS.register_module()
class FrameManifestHook(Hook):
    """Writes the frame manifest of a test, from all processes and in the order of the data set.

    Args:
        out: file to write, see :mod:`internvideo.fileio.manifests`.

    Raises:
        ValueError: ``out`` is of another kind; the data set records no frames, or its samples
            came twice or not at all.
    """

    priority = 'LOWEST'  # metrics are logged before anything can go wrong here

    def __init__(self, out: str) -> None:
        check_manifest_path(out)
        self.out = out
        self._records: list[FrameRecord] = []

    def before_test(self, runner: Any) -> None:
        """Let the data set record, before its workers start."""
        record_frames_of(runner.test_dataloader.dataset)
        self._records = []

    def after_test_iter(
        self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: Any = None
    ) -> None:
        """Keep the records of a batch."""
        for sample in data_batch['data_samples']:
            record = record_of(sample)
            if record is None:
                raise ValueError(
                    f'--manifest {self.out}: no record of {sample.get("path")}; the last transform '
                    'must pack `inputs` and `data_samples`, as PackInputs does'
                )
            self._records.append(record)

    def after_test_epoch(self, runner: Any, metrics: dict[str, float] | None = None) -> None:
        """Write the records of all processes."""
        parts = all_gather_object(self._records)
        self._records = []
        if is_main_process():
            records = merge_records(parts, len(runner.test_dataloader.dataset))
            header = run_header(runner.cfg, runner.cfg.get('load_from'))
            write_manifest(self.out, header, records)
            runner.logger.info(f'manifest of {len(records)} samples: {self.out}')
