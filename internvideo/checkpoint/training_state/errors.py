"""The error of training checkpoints."""


class CheckpointError(RuntimeError):
    """Checkpoint that cannot be written or read or does not fit, named in the message."""
