"""Write the generated world: real mp4 files and annotations for every task."""

import sys

from internvideo.cli.make_synthetic import command

if __name__ == '__main__':
    sys.exit(command(sys.argv[1:]))
