"""Media files made of other files' packets: copied, moved, repacked, or beside other streams."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from fractions import Fraction
from io import BytesIO
from pathlib import Path

import av
from PIL import Image

from .media_writing import mux_in_order, write_video
from .numbered_frames import draw_number

Edit = Callable[[list[av.Packet]], Iterable[av.Packet]]

NOT_CODED = bytes.fromhex('000001b6') + int('0101000011001111', 2).to_bytes(2, 'big')
"""MPEG-4 picture that says: the same once more."""


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


def flagged_as_keys(packets: Sequence[av.Packet]) -> Iterator[av.Packet]:
    """All packets, each called a key packet."""
    for packet in packets:
        packet.is_keyframe = True
        yield packet


def add_not_coded(packets: Sequence[av.Packet]) -> list[av.Packet]:
    """Packets with two more that hold no picture."""
    step, longer = packets[1].pts - packets[0].pts, []
    for number, packet in enumerate(packets):
        longer.append(packet)
        if number in (6, 21):
            longer.append(copy_packet(packet, NOT_CODED))
            longer[-1].is_keyframe = False
    for number, packet in enumerate(longer):
        packet.pts = packet.dts = number * step
    return longer


def pack_b_pictures(packets: Sequence[av.Packet]) -> Iterator[av.Packet]:
    """Packets as XviD packs them."""
    is_b = [picture_type(bytes(packet)) == 2 for packet in packets]
    for number, packet in enumerate(packets):
        data = NOT_CODED if is_b[number] else named_divx(bytes(packet))
        if not is_b[number] and is_b[number + 1 : number + 2] == [True]:
            data += bytes(packets[number + 1])
        packed = copy_packet(packet, data)
        packed.pts = packed.dts = number
        yield packed


def picture_type(data: bytes) -> int:
    """Coding type of an MPEG-4 picture: 0 I, 1 P, 2 B."""
    return data[data.index(bytes.fromhex('000001b6')) + 4] >> 6


def named_divx(data: bytes) -> bytes:
    """Packet whose user data names the encoder that packs, in the place of libavcodec."""
    mark = data.find(b'Lavc')
    return data if mark < 0 else data[:mark] + b'DivX503b1393p' + data[mark + 13 :]


def write_two_sizes(path: Path) -> None:
    """WebM whose second half is larger: the key packet says so."""
    halves = [path.with_name(f'{path.name}_{part}.webm') for part in ('small', 'large')]
    write_video(halves[0], range(20), codec='libvpx')
    write_video(halves[1], range(20, 40), codec='libvpx', size=(128, 96))
    later = [copy_packet(packet) for packet in read_packets(halves[1])]

    def both(packets: list[av.Packet]) -> list[av.Packet]:
        return packets + list(shifted(800)(later))

    remux(halves[0], path, both)
    for half in halves:
        half.unlink()


def write_with(path: Path, add: Callable) -> None:
    """Video beside the stream that ``add`` adds first; it may return packets of it."""
    source = path.with_name(f'source_of_{path.name}.mp4')
    write_video(source, options=dict(bf='2'))
    with av.open(str(source)) as given, av.open(str(path), 'w') as container:
        packets = add(container)
        packets = packets if isinstance(packets, list) else []
        stream = container.add_stream_from_template(given.streams.video[0])
        for packet in given.demux(given.streams.video[0]):
            if packet.size:
                packets.append(copy_packet(packet))
                packets[-1].stream = stream
        mux_in_order(container, packets)
    source.unlink()


def write_attached_cover(path: Path) -> None:
    """Matroska with a picture as attached file."""
    write_with(path, lambda container: container.add_attachment('cover.jpg', 'image/jpeg', jpeg()))


def write_subtitles(path: Path) -> None:
    """Matroska whose first stream holds subtitles."""
    write_with(path, lambda container: messages(container.add_mux_stream('subrip')))


def write_data(path: Path) -> None:
    """Transport stream whose first stream holds data."""
    write_with(path, lambda container: messages(container.add_data_stream('klv')))


def messages(stream) -> list[av.Packet]:
    """Packets of text, four a second."""
    packets = []
    for number in range(6):
        packet = av.Packet(b'message %d' % number)
        packet.stream, packet.time_base = stream, Fraction(1, 1000)
        packet.pts = packet.dts = 250 * number
        packet.duration = 200
        packets.append(packet)
    return packets


def jpeg() -> bytes:
    file = BytesIO()
    Image.fromarray(draw_number(200, (320, 240))).save(file, 'jpeg')
    return file.getvalue()
