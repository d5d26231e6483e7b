"""Frozen teachers: loaded once, run without gradient in low precision, kept out of the student."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from internvideo.models.backbones.base import EncoderOutput
from internvideo.registry import MODELS, WEIGHT_INITIALIZERS
from internvideo.structures.rehearsal import SmallSizes

DTYPES = {None: None, 'float32': None, 'bfloat16': torch.bfloat16, 'float16': torch.float16}


def aligned_layers(depth: int, layers: Mapping[str, float] | Sequence[int]) -> list[int]:
    """Block indices that take part in an alignment, ascending.

    Args:
        depth: number of blocks.
        layers: the indices, or ``dict(count=n, interval=d)``, which stands for
            ``depth - 1 - int(i * d)`` for ``i < n``.

    Raises:
        ValueError: an index outside the network, or one that repeats.
    """
    if isinstance(layers, Mapping):
        count, interval = int(layers['count']), layers.get('interval', 1)
        chosen = [depth - int(i * interval) - 1 for i in range(count)]
    else:
        chosen = [int(index) for index in layers]
    # The published formula takes negative and repeated blocks without a word.
    wrong = [index for index in chosen if not 0 <= index < depth]
    if wrong or len(set(chosen)) != len(chosen) or not chosen:
        raise ValueError(
            f'aligned layers {layers} give the blocks {chosen}, which are not distinct blocks of '
            f'a network of depth {depth}'
        )
    return sorted(chosen)


def blocks_of(layers: Mapping[str, float] | Sequence[int] | None) -> int:
    """Blocks that an encoder must have for ``layers``, see :func:`aligned_layers`."""
    if not layers:
        return 0
    if isinstance(layers, Mapping):
        return int((layers['count'] - 1) * layers.get('interval', 1)) + 1
    return max(layers) + 1


def resize_clips(video: Tensor, size: tuple[int, int]) -> Tensor:
    """Resize (B, C, T, H, W) to ``size`` (height, width), bicubic, each frame on its own."""
    if tuple(video.shape[-2:]) == tuple(size):
        return video
    frames = video.transpose(1, 2)
    resized = F.interpolate(
        frames.flatten(0, 1), size=tuple(size), mode='bicubic', align_corners=False
    )
    return resized.unflatten(0, frames.shape[:2]).transpose(1, 2)


class TeacherOutput(NamedTuple):
    """Aligned streams (B, N[+1], D), pooled vector (B, D') or None, attention (B, N) or None."""

    layers: list[Tensor]
    pooled: Tensor | None
    attn: Tensor | None


@MODELS.register_module()
class FrozenTeacher:
    """An encoder that only gives targets.

    It is not a module of the student: it does not appear in the student's state dict, optimizer
    or gradient synchronisation, stays in evaluation mode without stochastic depth, and follows
    its input to the device.  It runs under inference mode and computes what is asked for only.

    Args:
        encoder: config of the encoder.
        layers: aligned blocks, see :func:`aligned_layers`.
        init_cfg: where its weights come from, such as ``dict(type='Published', adapter='internvl',
            checkpoint='...')``.  None leaves them random, which only tests and measurements want.
        frame_stride: the teacher sees every ``frame_stride``-th frame of the clip.
        dtype: ``'bfloat16'`` or ``'float16'``: linear maps are kept in it and the teacher runs
            under autocast, with the numbers that autocast gives float32 weights; ``'float32'``:
            weights as they are, autocast off.
        max_clips: at most so many clips go through at once; None means all.

    Raises:
        ValueError: unknown ``dtype``, or layers that the encoder does not have.
    """

    def __init__(
        self,
        encoder: dict[str, Any],
        layers: Mapping[str, float] | Sequence[int],
        init_cfg: dict[str, Any] | None,
        frame_stride: int = 1,
        dtype: str | None = 'bfloat16',
        max_clips: int | None = None,
    ) -> None:
        if dtype not in DTYPES:
            known = ', '.join(str(name) for name in DTYPES)
            raise ValueError(f'teacher dtype must be one of {known}, got {dtype!r}')
        self.init_cfg, self.frame_stride, self.max_clips = init_cfg, frame_stride, max_clips
        self.dtype = DTYPES[dtype]
        # Weights that will be loaded take no memory and no random numbers before.
        with torch.device('meta' if init_cfg else torch.get_default_device()):
            # The published distillation leaves its teacher a rate of 0.25 in training mode, which
            # makes the targets random.
            self.encoder = MODELS.build(encoder | dict(drop_path_rate=0.0))
        self.encoder.eval().requires_grad_(False)
        self.layers = aligned_layers(self.encoder.depth, layers)
        self._digest = ''

    def __deepcopy__(self, memo: dict) -> 'FrozenTeacher':
        """Copies of a model (an average of its weights, say) share the teacher."""
        return self

    @classmethod
    def shrink(cls, config: dict[str, Any], small: SmallSizes) -> dict[str, Any]:
        """Offer a small copy to a rehearsal."""
        return config | dict(init_cfg=None)

    @classmethod
    def needed_depth(cls, config: Mapping[str, Any]) -> int:
        """Blocks that an encoder needs, for a rehearsal."""
        return blocks_of(config['layers'])

    def become_fake(self, fake: Callable[[Tensor], Tensor]) -> None:
        """Take weights without memory and say that they are loaded, for a rehearsal."""
        if self.dtype is not None:
            cast_linear_maps(self.encoder, self.dtype)
        self.encoder._apply(fake)
        self._digest = 'fake'

    def load(self) -> None:
        """Load the weights once.

        Raises:
            FileNotFoundError: the checkpoint does not exist.
            CheckpointMismatchError: it is of another architecture; names the entries.
        """
        if self._digest:
            return
        if self.init_cfg:
            WEIGHT_INITIALIZERS.build(self.init_cfg)(self.encoder)
            self.encoder.eval().requires_grad_(False)
        # Before the cast: the same file gives one digest whatever the dtype.
        self._digest = digest(self.encoder)
        if self.dtype is not None:
            cast_linear_maps(self.encoder, self.dtype)

    @property
    def digest(self) -> str:
        """A fingerprint of the weights, empty before :meth:`load`."""
        return self._digest

    def __call__(self, video: Tensor, pooled: bool = False, attn: bool = False) -> TeacherOutput:
        """Run on clips (B, C, T, H, W) of any size, resized to the encoder's.

        Args:
            video: normalised clips.
            pooled, attn: whether the pooled vector and the pooling attention are wanted.

        Raises:
            RuntimeError: the weights were not loaded.
            ValueError: the frames do not fit the encoder.
        """
        self._check_loaded()
        self._follow(video)
        with torch.inference_mode(), self._precision(video.device.type):
            clips = resize_clips(video[:, :, :: self.frame_stride], self.encoder.img_size)
            parts = [self._encode(chunk, pooled, attn) for chunk in clips.split(self._chunk(clips))]
            # torch.cat would copy the layers of a single part, too.
            return parts[0] if len(parts) == 1 else _concatenate(parts)

    def _check_loaded(self) -> None:
        if self.init_cfg and not self._digest:
            raise RuntimeError('the teacher has no weights yet: call load_targets() of the model')

    def _encode(self, clips: Tensor, pooled: bool, attn: bool) -> TeacherOutput:
        out: EncoderOutput = self.encoder(
            clips,
            return_layers=self.layers,
            return_attn=attn,
            layers_only=not (pooled or attn),
        )
        return TeacherOutput(out.layers, out.pooled, out.attn)

    def _precision(self, device: str) -> torch.autocast:
        return torch.autocast(device, dtype=self.dtype, enabled=self.dtype is not None)

    def _chunk(self, clips: Tensor) -> int:
        return self.max_clips or len(clips)

    def _follow(self, video: Tensor) -> None:
        if next(self.encoder.parameters()).device != video.device:
            self.encoder.to(video.device)


def cast_linear_maps(module: nn.Module, dtype: torch.dtype) -> None:
    """Keep the parameters of linear maps and patch embeddings in ``dtype``, the others as is."""
    for part in module.modules():
        if isinstance(part, nn.Linear | nn.Conv3d):
            part.to(dtype)


def digest(module: nn.Module) -> str:
    """16 hexadecimal digits that tell weights apart: names, shapes and a few values of each."""
    state = hashlib.blake2b(digest_size=8)
    for name, tensor in sorted(module.state_dict().items()):
        values = tensor.flatten()[:16].float().cpu().numpy().tobytes()
        state.update(f'{name}{tuple(tensor.shape)}'.encode() + values)
    return state.hexdigest()


def _concatenate(parts: list[TeacherOutput]) -> TeacherOutput:
    layers = [torch.cat(layer) for layer in zip(*(part.layers for part in parts), strict=True)]
    pooled, attn = ([part[i] for part in parts] for i in (1, 2))
    return TeacherOutput(
        layers,
        None if pooled[0] is None else torch.cat(pooled),
        None if attn[0] is None else torch.cat(attn),
    )
