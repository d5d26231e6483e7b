"""Runners of InternVideo2's multi-modal models and their losses."""
