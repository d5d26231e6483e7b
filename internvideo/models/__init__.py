"""Models: layers, encoders, heads, losses and one folder per task."""
