"""The media of the data tests, for the tools."""

from tests.datasets.conftest import media

__all__ = ['media']
