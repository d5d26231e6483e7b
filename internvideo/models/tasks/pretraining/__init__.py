"""Pretraining: a student that matches the features of frozen teachers."""
