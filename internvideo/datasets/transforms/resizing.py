"""Scaling of uint8 frames: bilinear or bicubic, with or without antialiasing."""

import cv2
import numpy as np
import torch

INTERPOLATIONS = {'bilinear': cv2.INTER_LINEAR, 'bicubic': cv2.INTER_CUBIC}


def resize_frames(
    imgs: np.ndarray,
    height: int,
    width: int,
    interpolation: str = 'bilinear',
    antialias: bool = False,
) -> np.ndarray:
    """Resize uint8 (N, H, W, 3) frames.

    Without antialiasing by OpenCV, whose bicubic frames are within one grey level of those that
    torch makes of tensors; with it by torch in float32, as the published code did (Pillow's and
    torch's own uint8 kernels differ by several grey levels).

    Raises:
        ValueError: unknown ``interpolation``.
    """
    check_interpolation(interpolation)
    if imgs.shape[1:3] == (height, width):
        return imgs
    if antialias:
        return _resize_smoothly(imgs, height, width, interpolation)
    resized = np.empty((len(imgs), height, width, imgs.shape[3]), np.uint8)
    method = INTERPOLATIONS[interpolation]
    for source, target in zip(imgs, resized, strict=True):
        cv2.resize(source, (width, height), dst=target, interpolation=method)
    return resized


def check_interpolation(name: str) -> str:
    """Return ``name`` if it is known, else raise ValueError."""
    if name not in INTERPOLATIONS:
        known = ', '.join(INTERPOLATIONS)
        raise ValueError(f'interpolation must be one of {known}, got {name!r}')
    return name


def _resize_smoothly(imgs: np.ndarray, height: int, width: int, interpolation: str) -> np.ndarray:
    frames = torch.from_numpy(np.ascontiguousarray(imgs)).permute(0, 3, 1, 2).float()
    resized = torch.nn.functional.interpolate(
        frames, size=(height, width), mode=interpolation, antialias=True
    )
    # Bicubic weights overshoot: without the clamp the cast would wrap around.
    grey = resized.round_().clamp_(0, 255).to(torch.uint8)
    return grey.permute(0, 2, 3, 1).contiguous().numpy()
