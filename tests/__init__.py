"""Tests of the package, which is imported before mmengine here as everywhere."""

import internvideo  # noqa: F401  (keeps mmengine from importing what it only probes for)
