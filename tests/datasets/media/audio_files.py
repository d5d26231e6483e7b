"""Sound files of many kinds whose bursts tell where on the clock each of them lies."""

import struct
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

BURST = 0.02
"""Seconds that a burst lasts."""
VIDEO_FPS = 25


def burst_second(number: int) -> float:
    """Second at which a burst begins."""
    return 0.5 * number + 0.1


def burst_pitch(number: int) -> float:
    """Pitch of a burst in Hz."""
    return 400 + 200 * (number % 16)


def bursts(seconds: float, rate: int = 48000) -> np.ndarray:
    """float32 (samples,): silence but for a burst each half second, every one of its own pitch."""
    wave = np.zeros(round(seconds * rate), np.float32)
    for number in range(int(2 * seconds)):
        first = round(burst_second(number) * rate)
        times = np.arange(round(BURST * rate)) / rate
        part = 0.8 * np.sin(2 * np.pi * burst_pitch(number) * times)
        wave[first : first + len(part)] = part[: max(len(wave) - first, 0)]
    return wave


def burst_errors(wave: np.ndarray, rate: int, start: float = 0.0) -> dict[int, float]:
    """Number of each burst that is heard whole -> seconds by which it is late.

    Args:
        wave: (samples,), the seconds of a file from ``start`` on.
        rate: samples a second.
        start: second of the first sample.
    """
    found = {}
    for number in range(1000):
        first = round((burst_second(number) - start) * rate)
        length, reach = round(BURST * rate), round(0.1 * rate)
        part = wave[max(first - reach, 0) : first + length + reach]
        if first < 0 or first + length > len(wave):
            continue
        sign = np.exp(-2j * np.pi * burst_pitch(number) * np.arange(length) / rate)
        likeness = np.abs(np.correlate(part, sign, 'valid')) / length
        if likeness.max(initial=0) > 0.2:
            found[number] = (int(likeness.argmax()) - min(first, reach)) / rate
    return found


def write_audio(
    path: Path,
    codec: str,
    seconds: int = 8,
    rate: int = 48000,
    layout: str = 'mono',
    *,
    offset: float = 0.0,
    left_out: tuple[float, float] = (0.0, 0.0),
    video: str | None = None,
    bit_rate: int | None = None,
    options: dict[str, str] | None = None,
    container: str | None = None,
    tracks: int = 1,
) -> Path:
    """Write bursts with PyAV.

    Args:
        path: the file; its suffix tells the container unless ``container`` does.
        codec: an encoder of FFmpeg.
        seconds, rate, layout: of the sound.
        offset: second of the clock at which the file begins.
        left_out: first and last second of a part that has no packets: a late beginning, or a gap
            in the time stamps.
        video: encoder of a grey video beside it.
        bit_rate, options: of the encoder of sound.
        container: FFmpeg's name of the format.
        tracks: number of tracks; the last one alone holds bursts and is the default.
    """
    with av.open(str(path), 'w', format=container) as file:
        pictures = [_add_video(file, video)] if video else []
        streams = [file.add_stream(codec, rate=rate, layout=layout) for _ in range(tracks)]
        for stream in streams:
            stream.options = options or {}
            if bit_rate:
                stream.bit_rate = bit_rate
            stream.disposition = int(tracks > 1 and stream is streams[-1])
            stream.metadata['language'] = 'eng' if stream is streams[-1] else 'deu'
        file.start_encoding()
        wave = bursts(seconds, rate)
        # Second by second, or the one would follow the other in the file.
        for second in range(seconds):
            for stream in pictures:
                _encode_video(file, stream, second, offset)
            for stream in streams:
                part = wave * (stream is streams[-1])
                _encode(file, stream, part, second, offset, left_out)
        for stream in (*pictures, *streams):
            file.mux(stream.encode())
    return path


def _encode(file, stream, wave: np.ndarray, second: int, offset: float, left_out) -> None:
    """Encode the frames that begin within a second."""
    context = stream.codec_context
    length, rate = context.frame_size or 1024, context.sample_rate
    begin = -(-second * rate // length) * length
    for first in range(begin, min((second + 1) * rate, len(wave)), length):
        if not left_out[0] <= first / rate < left_out[1]:
            frame = _frame(wave[first : first + length], context)
            frame.pts = first + round(offset * rate)
            file.mux(stream.encode(frame))


def _frame(wave: np.ndarray, context) -> av.AudioFrame:
    kinds = dict(s16=('<i2', 32767), s32=('<i4', 2147483520), flt=('<f4', 1), u8=('u1', 1))
    dtype, scale = kinds[context.format.packed.name]
    samples = np.repeat((wave.astype(np.float64) * scale)[None], context.layout.nb_channels, 0)
    if not context.format.is_planar:
        samples = samples.T.reshape(1, -1)
    samples = np.ascontiguousarray(samples.astype(dtype))
    frame = av.AudioFrame.from_ndarray(samples, context.format.name, context.layout)
    frame.sample_rate, frame.time_base = context.sample_rate, Fraction(1, context.sample_rate)
    return frame


def _add_video(file, codec: str):
    stream = file.add_stream(codec, rate=VIDEO_FPS)
    stream.width, stream.height, stream.pix_fmt = 64, 48, 'yuv420p'
    stream.options = dict(g='12')
    return stream


def _encode_video(file, stream, second: int, offset: float) -> None:
    for number in range(second * VIDEO_FPS, (second + 1) * VIDEO_FPS):
        image = np.full((48, 64, 3), number % 200, np.uint8)
        frame = av.VideoFrame.from_ndarray(image, 'rgb24')
        frame.pts = number + round(offset * VIDEO_FPS)
        frame.time_base = Fraction(1, VIDEO_FPS)
        file.mux(stream.encode(frame))


def strip_xing(path: Path) -> Path:
    """Take the frame that states the length of an MP3 file away."""
    content = path.read_bytes()
    header = next(content.find(word) for word in (b'Xing', b'Info') if word in content)
    second = content.find(content[content.rfind(b'\xff\xfb', 0, header) :][:2], header)
    path.write_bytes(content[second:])
    return path


def unstate_length(path: Path) -> Path:
    """Make a WAV file that was streamed: it does not know its length."""
    content = bytearray(path.read_bytes())
    place = content.find(b'data') + 4
    content[place : place + 4] = content[4:8] = struct.pack('<I', 0xFFFFFFFF)
    path.write_bytes(bytes(content))
    return path


def spoil_packets(path: Path, every: int) -> Path:
    """Overwrite one of so many packets of a file with zeros."""
    content = path.read_bytes()
    with av.open(str(path)) as file:
        packets = [(packet.pos, bytes(packet)) for packet in file.demux(audio=0) if packet.size]
    for place, packet in packets[::every]:
        first = content.find(packet, place)
        content = content[:first] + bytes(len(packet)) + content[first + len(packet) :]
    path.write_bytes(content)
    return path
