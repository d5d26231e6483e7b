"""Draw what a masked autoencoder makes of the hidden parts of videos.

Example: python tools/reconstruct.py CONFIG CHECKPOINT videos/ --out pictures
"""

import sys

from internvideo.cli.reconstruct import command

if __name__ == '__main__':
    sys.exit(command(sys.argv[1:]))
