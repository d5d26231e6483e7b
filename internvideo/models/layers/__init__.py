"""Layers shared by encoders; the only place that knows attention and norm kernels."""
