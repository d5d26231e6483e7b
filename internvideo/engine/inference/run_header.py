"""Header of the frame manifest of a run: versions, config and checkpoint."""

import os
from typing import Any

from mmengine.config import Config

from internvideo.checkpoint.files import frame_sampling_fields
from internvideo.fileio.manifests import manifest_header


def run_header(
    config: Config, checkpoint: str | os.PathLike | None = None, **facts: Any
) -> dict[str, Any]:
    """The header, with the choice of frames that the checkpoint was trained with, if it says so."""
    if checkpoint is not None:
        facts['checkpoint'] = os.fspath(checkpoint)
        facts['frame_sampling'] = frame_sampling_fields(checkpoint)
    return manifest_header(config, **facts)
