"""Extract features of videos of any length: one file per video, resumable, sharded.

Example: python tools/extract_features.py internvideo2/1B_k400 videos/ --out features --fps 8
"""

import sys

from internvideo.cli.extract_features import command

if __name__ == '__main__':
    sys.exit(command(sys.argv[1:]))
