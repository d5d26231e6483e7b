"""Run the console script: ``python -m internvideo COMMAND ...``."""

from internvideo.cli.__main__ import main

if __name__ == '__main__':
    main()
