"""Commands of the console script ``internvideo``, one a module."""
