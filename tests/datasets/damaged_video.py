"""A video one of whose packets is damaged."""

from pathlib import Path

import av
import numpy as np


def write_damaged_video(path: Path, count: int, damaged: int) -> Path:
    """Grey frames that brighten, each by itself (MJPEG), with zeros in the place of one."""
    with av.open(str(path), 'w') as container:
        stream = container.add_stream('mjpeg', rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 48, 'yuvj420p'
        for number in range(count):
            image = np.full((48, 64, 3), 250 * number // count, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format='rgb24')))
    with av.open(str(path)) as container:
        packet = [packet for packet in container.demux(video=0) if packet.size][damaged]
        place, size = packet.pos, packet.size
    content = path.read_bytes()
    path.write_bytes(content[:place] + bytes(size) + content[place + size :])
    return path
