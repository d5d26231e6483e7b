"""Checkpoints: safe reading, published layouts, and a report of every load."""
