"""A tiny model, its weights and small videos for the tests of apis and tools."""

import argparse
import itertools
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np

CONFIG = """
default_scope = 'internvideo'
model = dict(
    type='VideoRecognizer',
    data_preprocessor=dict(type='ClipDataPreprocessor'),
    backbone=dict(type='InternVideo2', embed_dim=32, depth=2, num_heads=2, mlp_ratio=2.0, arch=None,
        img_size=28, num_frames=4, clip_embed_dim=16, attn_pool_num_heads=2),
    head=dict(type='ClassificationHead', num_classes=3, in_dim=16, init_scale=50.0))
dataset = dict(type='VideoDataset', backend='pyav', classes=['up', 'down', 'still'])
val_dataloader = dict(dataset=dict(
    sampling=dict(type='UniformSample', num_frames=4, mode='val'),
    pipeline=[dict(type='Resize', short_side=28), dict(type='CenterCrop', size=28),
              dict(type='PackInputs')], **dataset))
test_dataloader = dict(dataset=dict(
    sampling=dict(type='UniformSample', num_frames=4, num_views=2, mode='test'),
    pipeline=[dict(type='Resize', short_side=28), dict(type='UniformCrops', size=28, num_crops=3),
              dict(type='PackInputs')], **dataset))
"""


def write_config(folder: Path, text: str = CONFIG) -> Path:
    path = folder / 'tiny.py'
    path.write_text(text)
    return path


def write_checkpoint(config: Path, path: Path) -> Path:
    import torch

    from internvideo.apis import get_model

    torch.manual_seed(0)
    torch.save(dict(state_dict=get_model(config).state_dict()), path)
    return path


def moving_frames(count: int, side: int = 32, seed: int = 0) -> np.ndarray:
    """Noise that drifts: every frame differs."""
    noise = np.random.default_rng(seed).integers(0, 255, (side, side, 3), np.uint8)
    return np.stack([np.roll(noise, shift, axis=0) for shift in range(count)])


def write_video(path: Path, frames: Iterable[np.ndarray], fps: int = 10) -> Path:
    import av

    path.parent.mkdir(parents=True, exist_ok=True)
    frames = iter(frames)
    first = next(frames)
    with av.open(str(path), 'w') as container:
        stream = container.add_stream('mpeg4', rate=fps)
        stream.height, stream.width, stream.pix_fmt = *first.shape[:2], 'yuv420p'
        for image in itertools.chain([first], frames):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format='rgb24')))
        container.mux(stream.encode())
    return path


def exit_code(
    main: Callable[[argparse.Namespace], None], parser: argparse.ArgumentParser, *flags: str
) -> int:
    """Run a tool in this process."""
    from internvideo.engine.command_line import guarded

    try:
        return guarded(main, parser, flags)
    except SystemExit as leaving:
        return leaving.code
