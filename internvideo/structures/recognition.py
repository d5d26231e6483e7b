"""Classes recognised in a video or a window of it."""

from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True)
class Recognition:
    """Classes recognised in one video or window.

    Attributes:
        source: path, or a name for frames in memory.
        labels: class indices, best first.
        scores: their probabilities.
        names: their class names; the index as text where no names are known.
        first_frame, last_frame: the window in a stream; None for whole videos.
        start, end: seconds of the file that the window spans; None for whole videos and cameras.
        error: why the video could not be read; the lists are empty then.
        frame_record: which frames were seen, where that is asked for.
    """

    source: str
    labels: tuple[int, ...] = ()
    scores: tuple[float, ...] = ()
    names: tuple[str, ...] = ()
    first_frame: int | None = None
    last_frame: int | None = None
    start: float | None = None
    end: float | None = None
    error: str | None = None
    frame_record: dict[str, Any] | None = field(default=None, compare=False, repr=False)

    def to_dict(self) -> dict[str, Any]:
        """Convert to plain lists and numbers without the fields that are None."""
        fields = {name: value for name, value in asdict(self).items() if value is not None}
        return {k: list(v) if isinstance(v, tuple) else v for k, v in fields.items()}
