"""Encoders, one file per published family."""
