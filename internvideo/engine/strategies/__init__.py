"""Strategies that place a model on processes and devices."""
