"""Video foundation models of the InternVideo family, one registry-based package."""

from internvideo.lean_imports import keep_probes_out

__version__ = '0.1.0'

# Before anything of mmengine is imported, or it would be too late.
keep_probes_out()
