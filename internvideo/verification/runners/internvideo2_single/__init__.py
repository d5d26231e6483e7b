"""Runners of InternVideo2's single-modality models."""
