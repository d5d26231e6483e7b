"""Check a copy of a data set: missing, broken, short and mislabelled media, on all cores.

Examples: python tools/data/check.py k400
          python tools/data/check.py my/train.csv --root my/videos --num-classes 12
          python tools/data/check.py msrvtt_1k_test            # a corpus or an evaluation set
          python tools/data/check.py my/captions.json --root my/videos --max-text-length 40
"""

import sys

from internvideo.cli.check_data import command

if __name__ == '__main__':
    sys.exit(command(sys.argv[1:]))
