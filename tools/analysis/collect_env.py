"""Print facts of this machine for a report: python tools/analysis/collect_env.py."""

import sys

from internvideo.cli.collect_env import command

if __name__ == '__main__':
    sys.exit(command(sys.argv[1:]))
