"""Writing of numbered pictures and tones as media files, by PyAV."""

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from .numbered_frames import draw_number

RATE = 25

AUDIO_RATE = 48000


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
    mirrored: bool = False,
    chapters: Sequence[dict] = (),
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
        if turn or mirrored:
            video.set_display_rotation(turn, hflip=mirrored)
        video.metadata.update(metadata or {})
        if chapters:
            container.set_chapters(list(chapters))
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
