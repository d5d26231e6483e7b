"""Inferencers and the model zoo."""
