"""Search videos by words or by a video; they are encoded once, into an index.

Example: python tools/search_videos.py internvideo2/retrieval/clip_S14_msrvtt videos/ --query "dogs"
"""

import sys

from internvideo.cli.search import command

if __name__ == '__main__':
    sys.exit(command(sys.argv[1:]))
