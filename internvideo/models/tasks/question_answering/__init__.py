"""Models that answer questions about videos."""
