"""Retrieval models: encoders of video, audio and text, and their objectives."""
