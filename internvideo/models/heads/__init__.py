"""Heads: from encoder outputs to scores."""
