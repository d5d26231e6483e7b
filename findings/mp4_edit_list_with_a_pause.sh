#!/usr/bin/env bash
# An edit list with a pause between two parts of an mp4 file (ISO/IEC 14496-12, 8.6.6: an "empty edit" may stand
# anywhere in the list) should show 5 frames, nothing new for a second, and 6 frames.  PyAV, OpenCV and FFmpeg itself
# fill the pause with the first second of the track, most of which the list hides: 36 frames, a jump back in time.
# decord counts 21 in either case.  An empty edit at the beginning, which cameras write, is read right by all.
# Seen with av 18.1.0, opencv-python-headless 4.12.0.88, decord 0.6.0, imageio-ffmpeg 0.6.0 (FFmpeg 7.0.2).
# Ends with 0 as long as this is so.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install --quiet av==18.1.0 numpy==2.2.6 opencv-python-headless==4.12.0.88 decord==0.6.0 \
    imageio-ffmpeg==0.6.0
cd "$folder"
env/bin/python - <<'PYTHON'
import struct
import subprocess
import sys

import av
import cv2
import decord
import imageio_ffmpeg
import numpy as np

SIDE, RATE = 64, 25


def level(number):
    return 20 + 5 * number


def number_of(image):
    return round((float(np.mean(image)) - 20) / 5)


with av.open('plain.mp4', 'w') as container:
    stream = container.add_stream('libx264', rate=RATE, options=dict(preset='ultrafast', crf='10', g='10'))
    stream.width = stream.height = SIDE
    stream.pix_fmt = 'yuv420p'
    for number in range(40):
        image = np.full((SIDE, SIDE, 3), level(number), np.uint8)
        container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format='rgb24')))
    container.mux(stream.encode())


def boxes(data, start, end):
    while start < end:
        size, name = struct.unpack_from('>I4s', data, start)
        yield name, start, start + size
        start += size


def find(data, *path):
    start, end = -8, len(data)
    for name in path:
        start, end = next((s, e) for found, s, e in boxes(data, start + 8, end) if found == name)
    return start, end


def with_edits(data, edits):
    """The file with another edit list: (seconds, begin in seconds or None for a pause)."""
    header, _ = find(data, b'moov', b'trak', b'mdia', b'mdhd')
    (scale,) = struct.unpack_from('>I', data, header + 20)
    rows = b''.join(
        struct.pack('>Iii', round(1000 * long), -1 if at is None else round(scale * at), 1 << 16)
        for long, at in edits
    )
    table = struct.pack('>I4sII', 16 + len(rows), b'elst', 0, len(edits)) + rows
    box = struct.pack('>I4s', 8 + len(table), b'edts') + table
    start, end = find(data, b'moov', b'trak', b'edts')
    changed = bytearray(data[:start] + box + data[end:])
    for path in ((b'moov',), (b'moov', b'trak')):
        place, _ = find(data, *path)
        (size,) = struct.unpack_from('>I', data, place)
        struct.pack_into('>I', changed, place, size + len(box) - (end - start))
    return bytes(changed)


with open('plain.mp4', 'rb') as file:
    content = file.read()
with open('pause.mp4', 'wb') as file:
    file.write(with_edits(content, [(0.2, 0), (1.0, None), (0.24, 1.2)]))
with open('no_pause.mp4', 'wb') as file:
    file.write(with_edits(content, [(0.2, 0), (0.24, 1.2)]))


def by_pyav(path):
    with av.open(path) as container:
        return [number_of(frame.to_ndarray(format='rgb24')) for frame in container.decode(video=0)]


def by_opencv(path):
    capture, numbers = cv2.VideoCapture(path), []
    while (read := capture.read())[0]:
        numbers.append(number_of(read[1]))
    return numbers


def by_ffmpeg(path):
    command = [imageio_ffmpeg.get_ffmpeg_exe(), '-v', 'error', '-i', path, '-fps_mode', 'passthrough']
    shown = subprocess.run([*command, '-f', 'rawvideo', '-pix_fmt', 'rgb24', '-'], capture_output=True, check=True)
    images = np.frombuffer(shown.stdout, np.uint8).reshape(-1, SIDE, SIDE, 3)
    return [number_of(image) for image in images]


meant = [*range(5), *range(30, 36)]
filled = [*range(5), *range(25), *range(30, 36)]
print('meant to be seen:', meant)
seen = {}
for path in ('no_pause.mp4', 'pause.mp4'):
    for read in (by_ffmpeg, by_pyav, by_opencv):
        seen[path, read] = read(path)
        print(path, read.__name__, len(seen[path, read]), seen[path, read])
    print(path, 'decord counts', len(decord.VideoReader(path)))
as_before = all(
    numbers == (filled if path == 'pause.mp4' else meant) for (path, _), numbers in seen.items()
)
print('as seen before' if as_before else 'the behaviour has changed')
sys.exit(not as_before)
PYTHON
