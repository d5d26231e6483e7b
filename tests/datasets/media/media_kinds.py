"""Kinds of media files: how each is written, and what a right reader shows of it."""

from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import partial
from pathlib import Path

import av

from .media_writing import RATE, mux_in_order, write_video
from .numbered_frames import UPRIGHT
from .packet_editing import Edit, copy_packet, remux

COUNT = 40

EXACT, EITHER, REFUSED = 'exact', 'either', 'refused'


@dataclass(frozen=True)
class Kind:
    """One awkward file.

    Attributes:
        name: of the file.
        write: writes it.
        numbers: that are shown, in order.
        times: seconds of them from the file's start; None for a file without times.
        outcome: ``exact``, can be read; ``either``, may be refused by its name; ``refused``, must.
        orientation: how the shown pictures lie.
        sample_aspect: width to height of a pixel.
        damaged: pictures may be repeated in the place of others, which the reader has to say.
    """

    name: str
    write: Callable[[Path], None]
    numbers: tuple[int, ...] = tuple(range(COUNT))
    times: tuple[float, ...] | None = None
    outcome: str = EXACT
    orientation: str = UPRIGHT
    sample_aspect: Fraction = Fraction(1)
    damaged: bool = False

    @property
    def fps(self) -> float | None:
        """Frames a second on average; None where a single frame or no times leave it open."""
        if self.times is None or len(self.times) < 2:
            return None
        return (len(self.times) - 1) / (self.times[-1] - self.times[0])


def seconds(ticks: Iterable[int], rate: Fraction | int = RATE) -> tuple[float, ...]:
    """Seconds of ticks, ``rate`` a second."""
    return tuple(float(tick / Fraction(rate)) for tick in ticks)


def encoded(name: str, numbers: Sequence[int] = range(COUNT), **settings) -> Kind:
    """Kind that :func:`write_video` writes with these settings, at a constant rate or ``ticks``."""
    ticks = settings.get('ticks', range(len(numbers)))
    base = settings.get('time_base', Fraction(1, RATE))
    times = seconds([tick - ticks[0] for tick in ticks], 1 / base)
    aspect = settings.get('sample_aspect', Fraction(1))
    write = partial(write_video, numbers=numbers, **settings)
    return Kind(name, write, tuple(numbers), times, sample_aspect=aspect)


def changed(kind: Kind, change: Callable[[Path], None], **facts) -> Kind:
    """Kind whose file is changed after it was written, with what this changes."""

    def write(path: Path) -> None:
        kind.write(path)
        change(path)

    return replace(kind, write=write, **facts)


def renamed(kind: Kind, name: str, **facts) -> Kind:
    """Kind of another name, which its container does not depend on."""

    def write(path: Path) -> None:
        first = path.with_name(f'first_{path.name}{Path(kind.name).suffix}')
        kind.write(first)
        first.rename(path)

    return replace(kind, name=name, write=write, **facts)


def remuxed(kind: Kind, name: str, edit: Edit = list, **settings) -> Kind:
    """Kind whose packets, perhaps edited, lie in another file; ``settings`` of :func:`remux`."""

    def write(path: Path) -> None:
        source = path.with_name(f'source_of_{path.name}{Path(kind.name).suffix}')
        kind.write(source)
        remux(source, path, edit, **settings)
        source.unlink()

    return replace(kind, name=name, write=write)


def joined(name: str, parts: Sequence[Kind], **facts) -> Kind:
    """Kind whose file is those of others one after the other, byte by byte."""

    def write(path: Path) -> None:
        content = b''
        for part in parts:
            part.write(path)
            content += path.read_bytes()
        path.write_bytes(content)

    numbers = tuple(number for part in parts for number in part.numbers)
    return Kind(name, write, numbers, **facts)


def together(name: str, parts: Sequence[Kind], dispositions: Sequence[str], shown: Kind) -> Kind:
    """Kind that holds the streams of others, flagged so, in their order."""

    def write(path: Path) -> None:
        with ExitStack() as stack:
            container = stack.enter_context(av.open(str(path), 'w'))
            packets = []
            for number, (part, disposition) in enumerate(zip(parts, dispositions, strict=True)):
                source = path.with_name(f'{number}_of_{path.name}_{part.name}')
                part.write(source)
                given = stack.enter_context(av.open(str(source)))
                stream = container.add_stream_from_template(given.streams.video[0])
                stream.disposition = av.stream.Disposition[disposition]
                for packet in given.demux(given.streams.video[0]):
                    if packet.size:
                        packets.append(copy_packet(packet))
                        packets[-1].stream = stream
                source.unlink()
            mux_in_order(container, packets)

    return Kind(name, write, shown.numbers, shown.times)
