"""Data sets, what they share, and mixtures of them: from annotations to batches."""
