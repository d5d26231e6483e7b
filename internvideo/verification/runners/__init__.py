"""Runners of the reference cases: one package per topic, one module per area of it."""
