"""Folders of the repository that tests read."""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
CONFIGS = ROOT / 'configs'
PARITY = ROOT / 'tests' / 'parity'
TOOLS = ROOT / 'tools'
