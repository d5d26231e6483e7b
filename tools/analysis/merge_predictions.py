"""Put the predictions of a shared test together: merge_predictions.py PARTS... --out FILE."""

import sys

from internvideo.cli.merge_predictions import command

if __name__ == '__main__':
    sys.exit(command(sys.argv[1:]))
