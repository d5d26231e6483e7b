#!/usr/bin/env bash
# An H.264 stream may say itself how its pictures are turned: the display orientation message (ITU-T H.264, D.1.27),
# which with a repetition period of 1 holds until another one comes.  Here it stands at the two key
# frames (0 and 10) of 20 frames: all 20 should be turned by 90 degrees.  PyAV reports the turn for frames 0 and 11
# alone, so that code which follows `frame.rotation`, as one should for phone videos, turns two frames of 20 and meets
# two picture sizes in one file.  OpenCV never turns any.
# Seen with av 18.1.0 (FFmpeg 8) and opencv-python-headless 4.12.0.88.  Ends with 0 as long as this is so.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install --quiet av==18.1.0 numpy==2.2.6 opencv-python-headless==4.12.0.88
cd "$folder"
env/bin/python - <<'PYTHON'
import sys

import av
import cv2
import numpy as np

COUNT = 20
with av.open('plain.mp4', 'w') as container:
    stream = container.add_stream('libx264', rate=25, options=dict(preset='ultrafast', g='10'))
    stream.width, stream.height, stream.pix_fmt = 320, 240, 'yuv420p'
    for number in range(COUNT):
        image = np.full((240, 320, 3), 10 * number, np.uint8)
        container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format='rgb24')))
    container.mux(stream.encode())


def copy(source, path, chain):
    """Copy a stream through bitstream filters, without encoding anew."""
    with av.open(source) as given, av.open(path, 'w') as container:
        stream = given.streams.video[0]
        packets = [packet for packet in given.demux(stream) if packet.size]
        copied = container.add_stream_from_template(stream)
        for name in chain:
            bits = av.bitstream.BitStreamFilterContext(name, stream)
            packets = [each for packet in [*packets, None] for each in bits.filter(packet)]
        for packet in packets:
            packet.stream = copied
            container.mux(packet)


copy('plain.mp4', 'plain.h264', ['h264_mp4toannexb'])
copy('plain.h264', 'turned.h264', ['h264_metadata=display_orientation=insert:rotate=270'])
copy('turned.h264', 'turned.mkv', [])
turns = {}
for path in ('turned.h264', 'turned.mkv'):
    with av.open(path) as container:
        turns[path] = [frame.rotation for frame in container.decode(video=0)]
    capture = cv2.VideoCapture(path)
    print(path, 'turns by PyAV:', turns[path])
    print(path, 'size by OpenCV:', capture.read()[1].shape[:2], 'where 320 x 240 should be shown')
seen = [-90 if number in (0, 11) else 0 for number in range(COUNT)]
as_before = all(found == seen for found in turns.values())
print('as seen before' if as_before else 'the behaviour has changed')
sys.exit(not as_before)
PYTHON
