"""Runners of InternVideo2's recipes: data, optimisation, steps and evaluation."""
