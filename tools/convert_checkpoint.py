"""Convert a checkpoint between a published layout and this project's.

Without ``--config`` entries are only renamed.  With it they also go through that model: everything
is checked, position tables and patch kernels are resized, and the head is mapped as asked for.
"""

import sys

from internvideo.cli.convert import command

if __name__ == '__main__':
    sys.exit(command(sys.argv[1:]))
