"""Writing of media files by PyAV, packet by packet where a kind needs it, and of their bytes."""

import struct
from collections.abc import Callable, Iterable, Iterator, Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from .numbered_frames import draw_number

RATE = 25
AUDIO_RATE = 48000
Edit = Callable[[list[av.Packet]], Iterable[av.Packet]]


def write_video(
    path: Path,
    numbers: Sequence[int] = range(40),
    *,
    codec: str = 'libx264',
    ticks: Sequence[int] | None = None,
    time_base: Fraction = Fraction(1, RATE),
    size: tuple[int, int] = (64, 48),
    pix_fmt: str = 'yuv420p',
    gop: int = 10,
    b_frames: int = 0,
    options: dict[str, str] | None = None,
    muxer: dict[str, str] | None = None,
    format: str | None = None,
    audio: str = '',
    audio_first: bool = False,
    audio_start: float = 0.0,
    audio_seconds: float = 1.6,
    turn: int = 0,
    sample_aspect: Fraction | None = None,
    bit_rate: int = 2_000_000,
    metadata: dict[str, str] | None = None,
) -> None:
    """Encode numbered pictures, at ``ticks`` of ``time_base`` (default: one after the other)."""
    ticks = range(len(numbers)) if ticks is None else ticks
    with av.open(str(path), 'w', format=format, options=muxer or {}) as container:
        tracks = [_add_audio(container, audio)] if audio and audio_first else []
        rate = 1 / time_base if time_base.numerator == 1 else RATE
        video = container.add_stream(codec, rate=rate, options=_encoder_options(codec, options))
        if audio and not audio_first:
            tracks = [_add_audio(container, audio)]
        video.width, video.height, video.pix_fmt = *size, pix_fmt
        context = video.codec_context
        context.time_base, context.gop_size, context.thread_count = time_base, gop, 1
        if b_frames or codec != 'libx264':
            context.max_b_frames = b_frames
        if 'libx26' not in codec and bit_rate:
            context.bit_rate = bit_rate
        if sample_aspect:
            context.sample_aspect_ratio = sample_aspect
        if turn:
            video.set_display_rotation(turn)
        video.metadata.update(metadata or {})
        packets = []
        for number, tick in zip(numbers, ticks, strict=True):
            frame = _picture(number, size, pix_fmt)
            frame.pts, frame.time_base = tick, time_base
            packets += video.encode(frame)
        packets += video.encode()
        for track in tracks:
            packets += _tone(track, audio_start, audio_seconds)
        mux_in_order(container, packets)


def _encoder_options(codec: str, options: dict[str, str] | None) -> dict[str, str]:
    if codec in ('libx264', 'libx264rgb'):
        # ultrafast has no B-frames: kinds that need them say so.
        return dict(preset='ultrafast', crf='16', threads='1', bf='0') | (options or {})
    if codec == 'libx265':
        quiet = dict(preset='ultrafast', crf='16')
        more = (options or {}).get('x265-params', '')
        params = ':'.join(filter(None, ['log-level=none:pools=none:frame-threads=1', more]))
        return quiet | (options or {}) | {'x265-params': params}
    return options or {}


def _picture(number: int, size: tuple[int, int], pix_fmt: str) -> av.VideoFrame:
    frame = av.VideoFrame.from_ndarray(draw_number(number, size), format='rgb24')
    return frame.reformat(format=pix_fmt)


def _add_audio(container, codec: str):
    track = container.add_stream(codec, rate=AUDIO_RATE, layout='mono')
    track.bit_rate = 96000
    return track


def _tone(track, start: float, seconds: float) -> list[av.Packet]:
    samples = np.sin(np.arange(int(seconds * AUDIO_RATE)) * 2 * np.pi * 440 / AUDIO_RATE)
    packed = track.codec_context.format.name
    wave = (samples * 8000).astype(np.int16)[None]
    frame = av.AudioFrame.from_ndarray(wave, format='s16', layout='mono')
    frame.sample_rate, frame.time_base = AUDIO_RATE, Fraction(1, AUDIO_RATE)
    frame.pts = round(start * AUDIO_RATE)
    fitting = av.AudioResampler(packed, 'mono', AUDIO_RATE, track.codec_context.frame_size or 1024)
    pieces = [*fitting.resample(frame), *fitting.resample(None)]
    return [packet for piece in [*pieces, None] for packet in track.encode(piece)]


def mux_in_order(container, packets: list[av.Packet]) -> None:
    """Mux packets of all streams in order of their decoding times, keeping each stream's order."""
    container.start_encoding()

    def second(packet: av.Packet) -> float:
        time = packet.pts if packet.dts is None else packet.dts
        return float('-inf') if time is None else float(time * packet.time_base)

    for packet in sorted(packets, key=second):
        container.mux(packet)


def write_audio(path: Path, codec: str, seconds: float = 1.0) -> None:
    """Write a tone alone."""
    with av.open(str(path), 'w') as container:
        mux_in_order(container, _tone(_add_audio(container, codec), 0, seconds))


def write_song(path: Path) -> None:
    """A tone with a picture on its cover."""
    with av.open(str(path), 'w', format='mp4') as container:
        audio = _add_audio(container, 'aac')
        cover = container.add_stream('mjpeg')
        cover.width, cover.height, cover.pix_fmt = 64, 48, 'yuvj420p'
        cover.disposition = av.stream.Disposition.attached_pic
        packets = [*cover.encode(_picture(0, (64, 48), 'yuvj420p')), *cover.encode()]
        mux_in_order(container, packets + _tone(audio, 0, 1))


def read_packets(path: Path) -> list[av.Packet]:
    """All packets with data of a file, in its order."""
    with av.open(str(path)) as container:
        return [packet for packet in container.demux() if packet.size]


def copy_packet(packet: av.Packet, data: bytes | None = None) -> av.Packet:
    """Copy of a packet, with other data if given."""
    copy = av.Packet(bytes(packet) if data is None else data)
    copy.pts, copy.dts, copy.time_base = packet.pts, packet.dts, packet.time_base
    copy.is_keyframe, copy.duration = packet.is_keyframe, packet.duration
    return copy


def remux(
    source: Path,
    path: Path,
    edit: Edit = list,
    *,
    muxer: dict[str, str] | None = None,
    filter: str = '',
) -> None:
    """Copy the video packets of a file into another one.

    Args:
        source: the file.
        path: the new one.
        edit: may change, drop or add packets.
        muxer: options of the container.
        filter: FFmpeg's bitstream filter that packets pass first.
    """
    with av.open(str(source)) as given:
        stream = given.streams.video[0]
        packets = [packet for packet in given.demux(stream) if packet.size]
        if filter:
            bits = av.bitstream.BitStreamFilterContext(filter, stream)
            packets = [each for packet in [*packets, None] for each in bits.filter(packet)]
        packets = [copy_packet(packet) for packet in packets]
        with av.open(str(path), 'w', options=muxer or {}) as container:
            copied = container.add_stream_from_template(stream)
            for packet in edit(packets):
                packet.stream = copied
                container.mux(packet)


def shifted(ticks: int) -> Edit:
    """Edit of :func:`remux` that adds to the times of packets."""

    def edit(packets: list[av.Packet]) -> Iterator[av.Packet]:
        for packet in packets:
            packet.pts += ticks
            packet.dts = packet.pts if packet.dts is None else packet.dts + ticks
            yield packet

    return edit


def boxes(data: bytes, start: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """Name, start and end of each mp4 box between two bytes."""
    while start < end:
        size, name = struct.unpack_from('>I4s', data, start)
        yield name, start, start + size
        start += size


def find_box(data: bytes, *names: str) -> tuple[int, int]:
    """Start and end of the first mp4 box of a path such as ``'moov', 'trak', 'tkhd'``."""
    start, end = -8, len(data)
    for name in names:
        inside = boxes(data, start + 8, end)
        start, end = next((s, e) for found, s, e in inside if found == name.encode())
    return start, end


def set_matrix(path: Path, matrix: Sequence[float]) -> None:
    """Write the display matrix ``a, b, c, d`` of the first track of an mp4 file."""
    data = bytearray(path.read_bytes())
    start, _ = find_box(data, 'moov', 'trak', 'tkhd')
    a, b, c, d = (round(value * 65536) for value in matrix)
    struct.pack_into('>9i', data, start + 48, a, b, 0, c, d, 0, 0, 0, 1 << 30)
    path.write_bytes(data)


def set_edits(path: Path, edits: Sequence[tuple[float, float | None]]) -> None:
    """Replace the edit list of the first track of an mp4 file whose ``moov`` box comes last.

    Args:
        path: the file; its movie clock ticks in milliseconds, as PyAV writes it.
        edits: seconds that each edit lasts, and second of the track at which it begins; None for
            an empty edit.
    """
    data = path.read_bytes()
    header, _ = find_box(data, 'moov', 'trak', 'mdia', 'mdhd')
    (scale,) = struct.unpack_from('>I', data, header + 20)
    rows = b''.join(
        struct.pack('>Iii', round(1000 * long), -1 if at is None else round(scale * at), 1 << 16)
        for long, at in edits
    )
    table = struct.pack('>I4sII', 16 + len(rows), b'elst', 0, len(edits)) + rows
    box = struct.pack('>I4s', 8 + len(table), b'edts') + table
    track = find_box(data, 'moov', 'trak')
    old = [(s, e) for name, s, e in boxes(data, track[0] + 8, track[1]) if name == b'edts']
    start, end = old[0] if old else (find_box(data, 'moov', 'trak', 'mdia')[0],) * 2
    changed = bytearray(data[:start] + box + data[end:])
    for place in (find_box(data, 'moov')[0], track[0]):
        (size,) = struct.unpack_from('>I', data, place)
        struct.pack_into('>I', changed, place, size + len(box) - (end - start))
    path.write_bytes(changed)


def patch(path: Path, mark: bytes, offset: int, value: bytes) -> None:
    """Overwrite bytes at an offset from the first place of ``mark``."""
    data = bytearray(path.read_bytes())
    start = data.index(mark) + offset
    data[start : start + len(value)] = value
    path.write_bytes(data)


def cut(path: Path, share: float) -> None:
    """Keep the first share of a file's bytes."""
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
