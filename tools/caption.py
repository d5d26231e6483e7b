"""Write captions of videos.

Example: python tools/caption.py internvideo1/multimodal/l14 videos/
"""

import sys

from internvideo.cli.caption import command

if __name__ == '__main__':
    sys.exit(command(sys.argv[1:]))
