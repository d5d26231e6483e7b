"""Probe of a media file: facts from its container alone, without decoding."""

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from . import frame_times, matroska_tracks, mp4_boxes
from .coded_packets import STARTS_EXACTLY, h264_has_fields
from .container_size import stated_size
from .errors import DECODER_ERRORS, MediaError, decoder_reason
from .file_cache import file_key
from .libraries import import_av, open_container
from .limits import MediaLimits
from .media_facts import AudioFacts, MediaProbe, StreamFacts, VideoFacts
from .orientation import UPRIGHT, Orientation
from .packet_table import NO_TIME, PacketTable, read_packets

COMPLETE_SHARE = 0.9
"""Up to a tenth of a video may be missing."""
BARE = (
    *('h264', 'hevc', 'vvc', 'mpegvideo', 'm4v', 'h263', 'h261', 'mjpeg', 'obu', 'vc1', 'dirac'),
    *('cavsvideo', 'evc'),
)
"""Streams without a container: no times, but a constant rate."""
INDEXED = ('mov', 'matroska', 'avi', 'flv')
"""Containers whose seeking lands on a packet that can be told from all others."""
SPARE_BYTES = 1 << 16
"""Bytes of multiplexing that may follow the last packet."""
UNINDEXED = ('mpeg', 'mpegts', 'asf', 'flv')
INDEXED_CODECS = frozenset(
    [
        *('h264', 'hevc', 'av1', 'vp8', 'vp9', 'mpeg4', 'mpeg1video', 'mpeg2video', 'h263', 'flv1'),
        *('msmpeg4v2', 'msmpeg4v3', 'theora', 'mjpeg', 'prores', 'dnxhd', 'ffv1', 'huffyuv'),
        *('utvideo', 'rawvideo', 'png', 'qtrle'),
    ]
)
# A magic number tells these apart; all else may need a longer look at the first packets.
MP4_TAGS = (b'ftyp', b'moov', b'mdat', b'free', b'skip', b'wide')
EBML = b'\x1a\x45\xdf\xa3'
QUICK = dict(analyzeduration='1', probesize='2048')
UNPARSED = dict(fflags='noparse+nofillin')
MAX_STREAMS = 64
FIRST_PACKETS = 1000
"""Packets within which each stream is expected to begin."""


def probe_file(path: str, limits: MediaLimits) -> MediaProbe:
    """Probe a file in this process, see :func:`internvideo.datasets.media.readers.probe_media`.

    Raises:
        MediaError: it cannot be opened, is cut off, or is over a limit.
    """
    av = import_av()
    file_key(path)
    try:
        with _open(path) as container:
            return _probe(av, container, path, limits)
    except MediaError:
        raise
    except (av.FFmpegError, *DECODER_ERRORS) as error:
        raise MediaError(path, decoder_reason(error, 'cannot be opened')) from None


def _open(path: str) -> Any:
    """Open without decoding or parsing frames, which FFmpeg does to fill in what is missing."""
    with Path(path).open('rb') as file:
        head = file.read(12)
    if head[4:8] not in MP4_TAGS and head[:4] != EBML:
        return open_container(path)
    skip = [dict(skip_frame='all')] * MAX_STREAMS
    # PyAV refuses options for streams where a file has none.
    with suppress(ValueError):
        container = open_container(path, options=QUICK | UNPARSED, stream_options=skip)
        video = chosen_stream(container, 'video')
        # Of these the first bytes of packets are looked at; of others FFmpeg's parsers know
        # better than a container which frames are key frames.
        if video is None or codec_name(video) in STARTS_EXACTLY:
            return container
        container.close()
        return open_container(path, options=QUICK, stream_options=skip)
    return open_container(path)


def _probe(av: Any, container: Any, path: str, limits: MediaLimits) -> MediaProbe:
    video, audio = chosen_stream(container, 'video'), chosen_stream(container, 'audio')
    head, begins = _first_packets(container)
    start = _start(av, container, begins)
    streams = tuple(_stream_facts(stream, start, begins) for stream in container.streams)
    name = container.format.name
    packets = _chain_video(container, video, head)
    facts = None if video is None else _video_facts(container, video, packets, path, start, limits)
    own = None
    if audio is not None:
        of_stream = streams[audio.index]
        context = audio.codec_context
        own = AudioFacts(
            audio.index,
            of_stream.codec,
            context.sample_rate if context else 0,
            context.channels if context else 0,
            of_stream.start,
            of_stream.seconds,
        )
    return MediaProbe(path, name.split(',')[0], start, streams, facts, own)


def _first_packets(container: Any) -> tuple[list[Any], dict[int, float]]:
    """Packets up to the first of each stream with its second, where nothing else tells."""
    head: list[Any] = []
    begins: dict[int, float] = {}
    if container.start_time is not None:
        return head, begins
    wanted = {each.index for each in container.streams if stream_kind(each) in ('video', 'audio')}
    for packet in container.demux():
        head.append(packet)
        if packet.pts is not None:
            begins.setdefault(packet.stream_index, float(packet.pts * packet.time_base))
        if wanted <= begins.keys() or len(head) >= FIRST_PACKETS:
            break
    return head, begins


def _start(av: Any, container: Any, begins: dict[int, float]) -> float:
    """Second of the file's clock at which it begins."""
    if container.start_time is not None:
        return container.start_time / av.time_base
    # What lies before 0 is there to start decoders, not to be seen or played.
    return max(0.0, min(begins.values(), default=0.0))


def _chain_video(container: Any, video: Any, head: list[Any]) -> Iterator[Any]:
    """Packets of the video stream, some of which have been read already."""
    if video is None:
        return
    yield from (packet for packet in head if packet.stream_index == video.index)
    yield from container.demux(video)


def chosen_stream(container: Any, kind: str) -> Any:
    """The default stream of a kind, else (of audio) FFmpeg's best or the first one, or None."""
    streams = [each for each in container.streams if stream_kind(each) == kind]
    default = (each for each in streams if _has(each, 'default'))
    found = next(default, None)
    if found is None and kind == 'audio':
        found = container.streams.best('audio')
    return found or (streams[0] if streams else None)


def stream_kind(stream: Any) -> str:
    """Kind of a stream, covers told apart from video."""
    if stream.type == 'video' and (
        _has(stream, 'attached_pic') or _has(stream, 'timed_thumbnails')
    ):
        return 'picture'
    return stream.type if stream.type in ('video', 'audio', 'subtitle') else 'data'


def _has(stream: Any, flag: str) -> bool:
    return bool(stream.disposition & getattr(type(stream.disposition), flag))


def _stream_facts(stream: Any, start: float, first: dict[int, float]) -> StreamFacts:
    unit = float(stream.time_base or 0)
    stated = first.get(stream.index, start)
    begins = max(stated, start) if stream.start_time is None else stream.start_time * unit
    return StreamFacts(
        stream.index,
        stream_kind(stream),
        codec_name(stream),
        _has(stream, 'default'),
        stream.metadata.get('language'),
        begins - start,
        stream.duration * unit if stream.duration else None,
    )


def codec_name(stream: Any) -> str:
    """FFmpeg's name of a stream's codec (not of the decoder), empty when there is none."""
    context = stream.codec_context
    return '' if context is None else context.codec.canonical_name


def _video_facts(
    container: Any,
    stream: Any,
    demuxed: Iterator[Any],
    path: str,
    start: float,
    limits: MediaLimits,
) -> VideoFacts:
    context, name = stream.codec_context, container.format.name.split(',')[0]
    if context is None:
        raise MediaError(path, 'the video codec is not known to FFmpeg')
    limits.check_size(path, context.width, context.height)
    limits.check_count(path, stream.frames)
    codec = codec_name(stream)
    packets = read_packets(demuxed, codec, context.extradata)
    limits.check_count(path, len(packets))
    if len(packets) == 0:
        raise MediaError(path, 'no frame in the video stream')
    if name == 'mov' and mp4_boxes.has_pause(path):
        raise MediaError(path, 'its edit list pauses between two parts, which FFmpeg does not show')
    is_cut = _check_complete(path, name, stream, packets)
    unit = float(stream.time_base)
    times = _seconds(packets, unit) - start
    if name in BARE:
        times[:] = np.nan
    stated = float(stream.average_rate or 0)
    length = _last_length(packets, unit, stated)
    hazards = tuple(_hazards(container, stream, packets, times, is_cut))
    counted = (
        name in INDEXED
        and codec in INDEXED_CODECS
        and packets.is_seekable
        and not {'interlaced_h264', 'avi_b_frames', 'size_changes'} & set(hazards)
    )
    times = frame_times.steady_times(times, length, name)
    seconds = (container.duration or 0) / 1e6 if name == 'matroska' else 0.0
    _check_gaps(path, name, packets, max(seconds, *times[-1:]) - times[:1].sum(), stated)
    # Frames without times say nothing of the rate.
    known = stated and 'no_times' in hazards
    rate = stated if known else frame_times.average_rate(times, stated, length)
    orientation = packets.orientation or _track_orientation(path, name, stream)
    return VideoFacts(
        stream.index,
        codec,
        context.width,
        context.height,
        orientation,
        float(stream.sample_aspect_ratio or 1) or 1.0,
        rate,
        times,
        counted,
        frame_times.is_constant(times, rate),
        'interlaced' in hazards,
        hazards,
        packets,
        unit,
    )


def _track_orientation(path: str, container: str, stream: Any) -> Orientation:
    """Turn that the container asks for."""
    if container == 'mov':
        return mp4_boxes.track_orientations(path).get(stream.id, UPRIGHT)
    if container == 'matroska':
        return matroska_tracks.track_orientations(path).get(stream.index, UPRIGHT)
    return UPRIGHT


def _seconds(packets: PacketTable, unit: float) -> np.ndarray:
    pts = packets.pts[packets.order]
    return np.where(pts == NO_TIME, np.nan, frame_times.seconds_of(pts, unit))


def _last_length(packets: PacketTable, unit: float, rate: float) -> float:
    """Seconds that the last frame is shown."""
    last = packets.durations[packets.order[-1]] * unit if len(packets.order) else 0.0
    return float(last) or (1 / rate if rate else 0.0)


def _check_complete(path: str, container: str, stream: Any, packets: PacketTable) -> bool:
    """Whether a little of the file is missing.

    Raises:
        MediaError: more than a tenth is.
    """
    found = len(packets)
    size, whole = Path(path).stat().st_size, stated_size(path, container) or 0
    if size < COMPLETE_SHARE * whole:
        raise MediaError(path, f'file is cut off: {size} of {whole} bytes')
    stated = _indexed_frames(container, stream)
    if found < COMPLETE_SHARE * stated:
        raise MediaError(path, f'file is cut off or damaged: {found} of {stated} frames')
    # Nothing follows the media in these: where reading ends early, bytes in between are broken.
    spare = max((1 - COMPLETE_SHARE) * size, SPARE_BYTES)
    if container in UNINDEXED and size - packets.last_byte > spare:
        last = _last_byte(path)
        if size - last > spare:
            raise MediaError(path, f'file is damaged: nothing is read behind byte {last} of {size}')
    return size < whole


def _indexed_frames(container: str, stream: Any) -> int:
    """Frames that the container lists one by one, 0 where its count is a guess."""
    if container == 'mov':
        # The index lists the frames that edits leave.
        return min(stream.frames, len(stream.index_entries) or stream.frames)
    if container == 'avi':
        return sum(entry.size > 0 for entry in stream.index_entries)
    return 0


def _last_byte(path: str) -> int:
    """Last byte of the packets of all streams."""
    last = 0
    with open_container(path) as container:
        for packet in container.demux():
            last = max(last, (packet.pos or 0) + packet.size)
    return last


def _check_gaps(
    path: str, container: str, packets: PacketTable, seconds: float, rate: float
) -> None:
    """Refuse a file of which whole stretches are gone, where its container shows the damage."""
    found, expected = len(packets.order), round(seconds * rate)
    if found >= COMPLETE_SHARE * expected:
        return
    # A rate that varies leaves gaps too: without damage they are pauses.
    broken = container == 'matroska' and not matroska_tracks.is_intact(path)
    if broken or packets.is_damaged:
        raise MediaError(path, f'file is damaged: {found} of about {expected} frames are left')


def _is_interlaced(context: Any, codec: str) -> bool:
    # 0 is unknown and 1 progressive in FFmpeg's AVFieldOrder.
    stated = int(getattr(context, 'field_order', 0) or 0) > 1
    return stated or (codec == 'h264' and h264_has_fields(context.extradata))


def _hazards(
    container: Any, stream: Any, packets: PacketTable, times: np.ndarray, is_cut: bool
) -> 'list[str]':
    name, codec = container.format.name.split(',')[0], codec_name(stream)
    context, unit = stream.codec_context, float(stream.time_base)
    videos = [each for each in container.streams if stream_kind(each) == 'video']
    interlaced = _is_interlaced(context, codec)
    restarts = not packets.is_seekable and not np.isnan(times).any()
    found = dict(
        leading_packets=packets.has_leading,
        discarded_packets=packets.num_discarded > 0,
        transport_stream=name.startswith('mpegts'),
        program_stream=name == 'mpeg',
        asf=name == 'asf',
        asf_b_frames=name == 'asf' and bool(context.has_b_frames),
        avi_b_frames=name == 'avi' and bool(context.has_b_frames),
        clock_jumps=frame_times.has_jumps(_key_times(packets, unit), name),
        repeated_times=restarts and len(np.unique(times)) < len(times),
        no_times=bool(np.isnan(times).any()),
        no_duration=not container.duration and not stream.duration,
        count_differs=bool(stream.frames) and stream.frames != len(packets.order),
        no_key_frame=not packets.keys[:1].any(),
        inexact_key_frames=bool((packets.keys & ~packets.starts).any()),
        size_changes=packets.sizes_vary,
        packed_pictures=packets.is_packed,
        damaged_packets=packets.is_damaged or is_cut,
        orientation_message=packets.orientation is not None,
        interlaced=interlaced,
        interlaced_h264=codec == 'h264' and interlaced,
        several_videos=len(videos) > 1,
    )
    return [word for word, holds in found.items() if holds]


def _key_times(packets: PacketTable, unit: float) -> np.ndarray:
    """Times of the key packets, which no reordering disturbs."""
    pts = packets.pts[packets.keys].astype(np.float64)
    return np.where(pts == NO_TIME, np.nan, frame_times.seconds_of(pts, unit))
