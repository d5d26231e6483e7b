"""Run reference cases against this build: internvideo verify PATH... [options]."""

from internvideo.verification.cli import main as command

__all__ = ['command']
