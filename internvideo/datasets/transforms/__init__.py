"""Transforms from an annotation to a packed uint8 clip."""
