"""Task models, one folder per task."""
