"""Test a checkpoint: python tools/test.py CONFIG [CHECKPOINT] [options]."""

import sys

from internvideo.cli.test import command

if __name__ == '__main__':
    sys.exit(command(sys.argv[1:]))
