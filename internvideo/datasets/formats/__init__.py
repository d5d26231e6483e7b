"""Annotation files and the texts in them, row by row."""
