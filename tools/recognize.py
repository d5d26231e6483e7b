"""Recognise actions in videos: files, folders, or a camera.

Example: python tools/recognize.py internvideo2/1B_k400 video.mp4 --classes kinetics_400.txt
"""

import sys

from internvideo.cli.recognize import command

if __name__ == '__main__':
    sys.exit(command(sys.argv[1:]))
