"""The error of training checkpoints."""


class CheckpointError(RuntimeError):
    """A checkpoint cannot be written, read, or does not fit; the message names the file."""
