"""Metrics, one file each and exact under any world size."""
