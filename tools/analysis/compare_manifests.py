"""Print where two runs have seen something else: compare_manifests.py A B [--json FILE]."""

import sys

from internvideo.cli.compare_manifests import command

if __name__ == '__main__':
    sys.exit(command(sys.argv[1:]))
