"""Fixtures shared with the tests of the inferencers."""

from tests.apis.conftest import tiny, videos

__all__ = ['tiny', 'videos']
