"""Losses, kept apart from the towers they train."""
