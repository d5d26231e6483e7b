"""Checkpoint layouts, one file per published family."""
