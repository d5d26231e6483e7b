"""Necks: between an encoder and a loss."""
