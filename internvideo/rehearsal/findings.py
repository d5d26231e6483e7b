"""What a rehearsal has to say against a config."""

from dataclasses import asdict, dataclass


@dataclass(frozen=True)
class Finding:
    """One line about one field.

    Attributes:
        field: dotted name of the config field, or the file, at fault.
        reason: what is wrong, in one line.
        is_missing_file: the config may be right, this machine lacks the file.
    """

    field: str
    reason: str
    is_missing_file: bool = False

    def __str__(self) -> str:
        kind = 'missing' if self.is_missing_file else 'fault'
        return f'{kind}: {self.field}: {self.reason}'

    def as_json(self) -> dict:
        """Plain data."""
        return asdict(self)


def one_line(error: BaseException) -> str:
    """The message of ``error`` on one line, without what a registry puts before it."""
    text = str(error.args[0]) if isinstance(error, KeyError) and error.args else str(error)
    text = ' '.join(text.split()) or type(error).__name__
    return text if len(text) <= 400 else f'{text[:400]}...'
