"""Video foundation models of the InternVideo family, one registry-based package."""

__version__ = '0.1.0'
