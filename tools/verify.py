"""Run reference cases against this build: python tools/verify.py PATH... [options].

Prints one line per case (verdict, case, family, worst error as a share of its tolerance) and last
``N passed, M failed``.  Exit status: 0 all passed, 1 a case missed, 2 bad arguments.
"""

import sys

from internvideo.verification.cli import main

if __name__ == '__main__':
    sys.exit(main())
