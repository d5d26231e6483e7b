"""Print what limits a config's training on many GPUs, as the tables of docs/scaling.md.

Example: python tools/analysis/scaling_limits.py configs/internvideo2/6B_k710.py --gpus 256 1024
"""

import sys

from internvideo.cli.scaling_limits import command

if __name__ == '__main__':
    sys.exit(command(sys.argv[1:]))
