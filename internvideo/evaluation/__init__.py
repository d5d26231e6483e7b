"""Metrics, one file each; exact under any world size."""
