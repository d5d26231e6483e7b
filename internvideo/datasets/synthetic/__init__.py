"""Generated world of seeded mp4 files with labels for every task."""

from .render import render_clip
from .specs import ClipSpec
from .world import WorldReport, make_world

__all__ = ['ClipSpec', 'WorldReport', 'make_world', 'render_clip']
