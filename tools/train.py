"""Train the model of a config: python tools/train.py CONFIG [options]."""

import sys

from internvideo.cli.train import command

if __name__ == '__main__':
    sys.exit(command(sys.argv[1:]))
