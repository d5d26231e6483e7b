"""Runners of the cases of InternVideo-Next."""
