"""Checkpoints: safe reading, published layouts, and a report of every load."""

from .files import read_state_dict
from .loading import export_published, load_checkpoint, load_pretrained
from .report import CheckpointMismatchError, LoadReport
from .sources import CheckpointSourceError

__all__ = [
    'CheckpointMismatchError',
    'CheckpointSourceError',
    'LoadReport',
    'export_published',
    'load_checkpoint',
    'load_pretrained',
    'read_state_dict',
]
