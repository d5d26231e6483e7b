"""Pictures: curves, confusion matrices, contact sheets."""
