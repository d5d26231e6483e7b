"""Layers shared by encoders, with the only choice of attention and norm kernels."""
