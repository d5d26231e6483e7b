"""Checkpoint layouts, one file per published family, on a declared base."""

DEFAULT_ADAPTER = 'internvideo2_single'
"""Layout of a checkpoint of which nothing else is said."""
