"""Training state on disk: weights, optimiser, random state and progress of a run."""
