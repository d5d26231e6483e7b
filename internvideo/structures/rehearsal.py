"""Findings of a rehearsal, and the objects that it hands to the parts that it asks.

Any registered class may have class methods that tell a rehearsal about it; all are optional.
docs/rehearsal.md lists them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol


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


@dataclass(frozen=True)
class ItemCount:
    """Training items of an epoch.

    Attributes:
        by_kind: kind of item (what a data sample calls ``media_type``; ``''`` where there is one
            kind only) -> how many; 0 when not known.
        is_counted: counted in files, rather than a rounded public figure.
    """

    by_kind: Mapping[str, int]
    is_counted: bool = True

    @property
    def total(self) -> int:
        """Items of all kinds."""
        return sum(self.by_kind.values())


@dataclass(frozen=True)
class SmallSizes:
    """Sizes that the parts of a shrunken model agree on.

    Tokens and pooled vectors are equally wide: some encoders pool by a plain mean.
    """

    width: int = 48
    heads: int = 4
    depth: int = 2

    def side(self, pixels: Any) -> Any:
        """Shrink sides in pixels to a quarter, leaving 56 px and less as they are."""
        if isinstance(pixels, list | tuple):
            return type(pixels)(self.side(each) for each in pixels)
        # True and False are integers to Python, but no sides.
        if not isinstance(pixels, int) or isinstance(pixels, bool) or pixels <= 56:
            return pixels
        return round(pixels / 4)

    def narrowed(self, config: dict[str, Any], *fields: str) -> dict[str, Any]:
        """``config`` with the common width in ``fields``, but where it says None or 0."""
        return config | {name: self.width for name in fields if config.get(name, True)}

    def with_arch(
        self, config: dict[str, Any], known: Mapping[str, Any], usual: str, **sizes: Any
    ) -> dict[str, Any]:
        """Return ``config`` with ``sizes`` in its ``arch`` beside what that says already.

        Args:
            config: of a part with an argument ``arch``.
            known: architectures by name.
            usual: the name that stands when the config has none.
            **sizes: fields of an architecture.
        """
        arch = config.get('arch', usual)
        arch = known.get(arch, {}) if isinstance(arch, str) else arch or {}
        kept = {key: value for key, value in config.items() if key not in sizes}
        return kept | dict(arch=dict(arch) | sizes)


class Examples(Protocol):
    """Small generated media that a data set's example rows may name.

    Attributes:
        rows: items that the data set shall have.
        count: number of media of every kind; ``name`` repeats them.
        num_frames, fps, duration: of every video, the last in seconds.
        num_classes: classes of the model's head; a few where it has none.
        text_kinds: kinds of caption that the model's objectives ask for.
        media: folder of ``clip_0.mp4``, ``clip_0.jpg``, ``clip_0.wav`` and so on.
        videos: folder of ``clip_0.mp4`` and so on.
    """

    rows: int
    count: int
    num_frames: int
    fps: float
    duration: float
    num_classes: int
    text_kinds: Sequence[str]
    media: Path
    videos: Path

    def name(self, row: int, suffix: str = '.mp4') -> str:
        """Name of the file that row ``row`` is about."""

    def frame_folders(self, filename_tmpl: str) -> Path:
        """Folder of folders ``clip_0`` and so on of images, numbered from 1."""

    def write(self, name: str, text: str) -> Path:
        """Write an annotation file under ``name``, which ends in its suffix."""


class RehearsedRun(Protocol):
    """The config that a rule of a part may look at beside its own part.

    Attributes:
        config: the whole config.
        world_size: processes it is meant for.
        loaders: the loaders that it has, by name.
        trains: whether it trains; others only test.
        num_classes: classes of the model's head, if it has such a head.
        model: the model with fake weights, None when it cannot be built.
        observed: by loader, an item: ``shape`` of its first tensor, ``num_classes`` of the data.
    """

    config: Mapping[str, Any]
    world_size: int
    loaders: Mapping[str, Mapping[str, Any]]
    trains: bool
    num_classes: int | None
    model: Any
    observed: Mapping[str, Any]

    def module(self, field: str) -> Any:
        """Module that the model has built from the config at the dotted ``field``, or None."""

    def at(self, field: str) -> Any:
        """The config at the dotted ``field``."""

    def count_items(self, loader: str) -> ItemCount:
        """Items of an epoch of a loader."""
