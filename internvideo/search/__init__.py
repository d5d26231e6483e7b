"""Index of vectors on disk: filling, tidying and searching."""
