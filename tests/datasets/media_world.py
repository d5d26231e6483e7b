"""A few real images, videos and sounds with captions, for tests of mixtures."""

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from internvideo.datasets.synthetic.audio import SAMPLE_RATE
from internvideo.datasets.synthetic.media import write_video, write_wav

SIZE, FPS, FRAMES = 32, 10, 12
PIPELINE = (
    dict(type='RandomResizedCrop', size=16, scale=(0.5, 1.0)),
    dict(type='RandomFlip'),
    dict(type='PackMedia'),
)


def tone(seconds: float, pitch: float = 440.0) -> np.ndarray:
    """int16 samples of a tone."""
    times = np.arange(round(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    return (8000 * np.sin(2 * np.pi * pitch * times)).astype(np.int16)


def clip(number: int) -> np.ndarray:
    """uint8 frames (12, 32, 32, 3) that brighten; their hue tells the number."""
    frames = np.zeros((FRAMES, SIZE, SIZE, 3), np.uint8)
    frames += np.arange(FRAMES, dtype=np.uint8)[:, None, None, None] * 16
    frames[:, : SIZE // 2, :, number % 3] = 200
    return frames


def write_media(root: Path, count: int) -> None:
    """``0.jpg``, ``0.mp4`` (with a tone), ``0.wav`` and so on."""
    root.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        cv2.imwrite(str(root / f'{number}.jpg'), clip(number)[-1])
        write_video(root / f'{number}.mp4', clip(number), tone(1.2, 220 + 20 * number), FPS)
        write_wav(root / f'{number}.wav', tone(0.5))


def write_rows(path: Path, rows: list[Any]) -> str:
    """Write an annotation file and return its name."""
    path.write_text(json.dumps(rows), encoding='utf-8')
    return str(path)


def world_table(root: Path, **counts: int) -> dict[str, dict[str, Any]]:
    """A corpus of so many rows for each medium that ``counts`` names."""
    write_media(root, max(counts.values()))
    keys = dict(image=('image', 'jpg'), audio=('audio', 'wav'))
    table = {}
    for media, count in counts.items():
        key, suffix = keys.get(media, ('video', 'mp4'))
        rows = [{key: f'{i}.{suffix}', 'caption': f'{media} number {i}'} for i in range(count)]
        file = write_rows(root / f'{media}.json', rows)
        table[f'{media}s'] = dict(ann_file=file, data_prefix=str(root), media_type=media)
    return table


def mixture(table: dict, mix: Any = None, **fields: Any) -> dict[str, Any]:
    """Config of a mixture of the table, two frames of 16 px a clip."""
    return dict(
        type='MediaMixture',
        table=table,
        mix=list(table) if mix is None else mix,
        sampling=dict(type='IntervalSample', num_frames=2),
        pipeline=list(PIPELINE),
        audio=dict(max_seconds=0.5, num_mel_bins=16),
        **fields,
    )
