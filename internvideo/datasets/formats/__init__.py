"""Annotation files, row by row, and the words in them."""
