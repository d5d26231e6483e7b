"""Check a config on a laptop before it is queued: python tools/rehearse.py CONFIG... [options].

Finds mistakes, prints parameters, FLOPs, memory per GPU and GPU-hours of the real thing, then
trains, validates, saves and resumes a shrunken copy on generated media.  Exit status: 0 no fault,
1 faults, 2 bad arguments.
"""

import sys

from internvideo.cli.rehearse import command

if __name__ == '__main__':
    sys.exit(command(sys.argv[1:]))
