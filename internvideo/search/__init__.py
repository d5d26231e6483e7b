"""Vector index of videos on disk; knows no model."""
