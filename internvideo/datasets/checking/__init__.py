"""Checks of a copy of a data set: its lists, its texts and its media files."""
