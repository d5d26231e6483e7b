"""Draw confusion matrix, training curves and a contact sheet of a tested run.

Reads the predictions that ``tools/test.py --out`` wrote and the scalars the training logged,
writes three PNG files into the work folder, and prints top-1 and where the pictures lie.
"""

import sys

from internvideo.cli.report import command

if __name__ == '__main__':
    sys.exit(command(sys.argv[1:]))
