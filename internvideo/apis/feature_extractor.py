"""Features of videos of any length: sliding windows through an encoder, in constant memory."""

import hashlib
import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.config import Config
from torch import Tensor, nn

from internvideo.datasets.frame_records import StreamRecorder
from internvideo.datasets.inference.clip_loader import FrameTransform
from internvideo.datasets.inference.timed_windows import (
    Seconds,
    TimedWindow,
    in_batches,
    timed_frames,
    timed_windows,
    window_settings,
)
from internvideo.datasets.inference.video_stream import FrameStream, spread
from internvideo.engine.inference.devices import autocast, pick_device
from internvideo.fileio.feature_files import FeatureWriter
from internvideo.hub.frame_choice import follow_checkpoint
from internvideo.hub.model_zoo import get_config
from internvideo.hub.video_encoders import (
    EncoderWeights,
    encoder_settings,
    find_encoder_weights,
    get_encoder,
)
from internvideo.models.backbones.base import EncoderOutput, VideoEncoder
from internvideo.models.data_preprocessors.clip_data_preprocessor import (
    IMAGENET_MEAN,
    IMAGENET_STD,
)
from internvideo.registry import MODELS

RANDOM_SEED = 0


POOLING: dict[str, Callable[[Tensor, Tensor, int], Tensor]] = {
    'cls': lambda prefix, patches, steps: prefix.mean(dim=1),
    'mean': lambda prefix, patches, steps: patches.mean(dim=1),
    'frames': lambda prefix, patches, steps: patches.unflatten(1, (steps, -1)).mean(dim=2),
    'patches': lambda prefix, patches, steps: patches,
    'tokens': lambda prefix, patches, steps: torch.cat([prefix, patches], dim=1),
}
"""Features of class tokens (B, P, D), patches (B, N, D) and the time steps of the patches."""
POOLS = ('pooled', *POOLING)


@dataclass(frozen=True)
class FeatureSpec:
    """Settings that decide the features of a video (see :func:`feature_spec`).

    Attributes:
        config: resolved config of the encoder.
        weights: the weights; None for random ones.
        settings: the same as plain values, recorded in each file: ``encoder``, ``checkpoint``,
            ``checkpoint_sha256``, ``pool``, ``layer`` (None: the last), ``window``, ``stride``,
            ``fps`` (None: every frame), ``num_frames`` (frames the encoder sees of a window),
            ``transforms``, ``dtype``.
    """

    config: Config
    weights: EncoderWeights | None
    settings: dict[str, Any]


def feature_spec(
    model: str | os.PathLike | Config,
    checkpoint: str | os.PathLike | EncoderWeights | None = None,
    pool: str | None = None,
    window: int | str | Seconds | None = None,
    stride: int | str | Seconds | None = None,
    fps: float | None = None,
    dtype: str = 'float32',
    random_weights: bool = False,
    layer: int | None = None,
    frame_sampling: str = 'checkpoint',
    **overrides: Any,
) -> FeatureSpec:
    """Decide how features are made, without building the model or touching a video.

    Args:
        model: model name, config file or config; its encoder is used, nothing behind it.
        checkpoint: weights, ours or published; None takes the published weights of that name.
        pool: ``'pooled'`` (the encoder's own pooling), ``'cls'`` (class token, of several the
            mean), ``'mean'`` (of the patch tokens), ``'frames'`` (their mean at each temporal
            position), ``'patches'`` (all of them), ``'tokens'`` (class tokens and patches); None:
            ``'pooled'`` where the encoder has a pooler, else ``'mean'``.
        window: frames of a window, at ``fps``, or with ``fps`` seconds (``'2s'``); None means what
            the encoder takes.  Of longer windows the encoder sees the middle of as many equal
            stretches as it takes frames.
        stride: the same from one window to the next; None means ``window``.
        fps: frames per second to sample; None means every frame.
        dtype: ``'float32'``, or ``'bfloat16'`` / ``'float16'`` to compute in.
        random_weights: run without a checkpoint, for trying things out.
        layer: block (from 0; -1 is the last) whose tokens are pooled; None: those that the
            encoder gives.  Not with ``'pooled'``.
        frame_sampling: whose way to bring frames to size counts where the checkpoint says how it
            was trained: its own (``'checkpoint'``), or the ``'config'``'s.
        **overrides: fields of the config's ``model``, as in :func:`get_config`.

    Raises:
        KeyError, FileNotFoundError: unknown model; config or checkpoint not found.
        ValueError: no checkpoint is given or known, or a setting that cannot be.
    """
    config = get_config(model, **overrides)
    # For its check of the name alone: nothing is computed here.
    autocast('cpu', dtype)
    weights = None if random_weights else find_feature_weights(model, checkpoint)
    # Only sizes are read of this encoder, so its weights take no memory.
    with torch.device('meta'):
        encoder = get_encoder(config, device='meta')
    follow_checkpoint(
        config, weights and weights.source, frame_sampling, encoder, geometry_only=True
    )
    pool, layer = _check_pooling(encoder, pool, layer)
    if fps is not None and not fps > 0:
        raise ValueError(f'fps must be positive, got {fps}')
    window = encoder.num_frames if window is None else window
    window, stride = window_settings(window, window if stride is None else stride, fps)
    if isinstance(window, Seconds):
        raise ValueError(f'a window of {window:g} s has as many frames as fps says: set fps')
    # For its errors alone: frames are chosen when there are windows.
    spread(window, encoder.num_frames)
    settings = dict(
        encoder=_encoder_record(model, config),
        checkpoint=None if weights is None else weights.source,
        checkpoint_sha256=None if weights is None else weights_sha256(weights),
        pool=pool,
        layer=layer,
        window=window,
        stride=stride,
        fps=fps,
        num_frames=encoder.num_frames,
        transforms=FrameTransform(config, encoder).description,
        dtype=dtype,
    )
    # As JSON gives them back, so that specs and files can be compared.
    return FeatureSpec(config, weights, json.loads(json.dumps(settings)))


def find_feature_weights(
    model: str | os.PathLike | Config, checkpoint: str | os.PathLike | EncoderWeights | None
) -> EncoderWeights:
    """``checkpoint``, or the weights that are known for that model.

    Raises:
        ValueError: neither is there; nothing runs on random weights unasked.
    """
    try:
        return find_encoder_weights(model, True if checkpoint is None else checkpoint)
    except KeyError:
        if checkpoint is not None:
            raise
        name = model.filename if isinstance(model, Config) else model
        raise ValueError(
            f'no published weights are known for {name}: give a checkpoint '
            '(or ask for random_weights to try things out)'
        ) from None


def _check_pooling(
    encoder: VideoEncoder, pool: str | None, layer: int | None
) -> tuple[str, int | None]:
    """Check the pooling and the layer, raising ValueError for what the encoder does not have."""
    if pool is None:
        pool = 'pooled' if encoder.pooled_dim and layer is None else 'mean'
    if pool not in POOLS:
        raise ValueError(f'pool must be one of {", ".join(POOLS)}, got {pool!r}')
    if pool == 'pooled' and layer is not None:
        raise ValueError(f"pool='pooled' is made of the last block, not of layer {layer}")
    if pool == 'pooled' and not encoder.pooled_dim:
        raise ValueError("pool='pooled' needs an encoder with a pooler (clip_embed_dim)")
    if pool == 'cls' and not encoder.num_prefix_tokens:
        raise ValueError("pool='cls' needs an encoder with a class token")
    if layer is None:
        return pool, None
    if not -encoder.depth <= layer < encoder.depth:
        raise ValueError(f'layer must be one of {encoder.depth} blocks, got {layer}')
    # Counted from the front: -1 and the number of the last block are the same settings.
    return pool, layer % encoder.depth


def same_settings(recorded: Mapping[str, Any], settings: Mapping[str, Any]) -> bool:
    """Whether a file's metadata tell of the same features as ``settings``.

    Names do not matter: weights are compared by their hash, encoders by their fields.
    """
    return all(
        _identity(key, recorded.get(key)) == _identity(key, settings[key])
        for key in settings
        if key != 'checkpoint'
    )


def _identity(key: str, value: Any) -> Any:
    if key == 'encoder' and isinstance(value, dict):
        return {name: field for name, field in value.items() if name != 'config'}
    return value


class FeatureExtractor:
    """Computes features as the settings say.

    Args:
        spec: from :func:`feature_spec`.
        device: torch device; None takes the GPU when there is one.
        batch_size: windows in one forward pass.
        limits: sizes and times above which a file is refused, fields of :class:`MediaLimits`.

    Raises:
        CheckpointMismatchError: the weights do not fit the encoder.
        ValueError: the device cannot be used.
    """

    def __init__(
        self,
        spec: FeatureSpec,
        device: str | None = None,
        batch_size: int = 8,
        limits: Mapping[str, Any] | None = None,
    ) -> None:
        if batch_size < 1:
            raise ValueError(f'batch_size must be positive, got {batch_size}')
        self.limits = limits
        self.spec, self.batch_size = spec, batch_size
        self.device = pick_device(device)
        self.autocast = autocast(self.device, spec.settings['dtype'])
        self.encoder = _load_encoder(spec).to(self.device)
        self.transform = FrameTransform(spec.config, self.encoder)
        self.normalise = _normaliser(spec.config).to(self.device)
        self.positions = spread(spec.settings['window'], spec.settings['num_frames'])

    def extract(self, video: str | os.PathLike) -> tuple[np.ndarray, dict[str, Any]]:
        """Features (windows, ...) of one video, and their metadata.

        Raises:
            MediaError: the video cannot be read to its end.
        """
        collected = _Collector()
        metadata = self.write(video, collected)
        return np.concatenate(collected.parts), metadata

    def recorder(self, video: str | os.PathLike) -> StreamRecorder:
        """Give what :meth:`write` takes to record which frames of a video were seen."""
        names = ('window', 'stride', 'fps', 'num_frames')
        rule = ', '.join(f'{name}={self.spec.settings[name]}' for name in names)
        return StreamRecorder(os.fspath(video), rule, self.transform.steps, self.limits)

    def write(
        self,
        video: str | os.PathLike,
        writer: FeatureWriter,
        recorder: StreamRecorder | None = None,
    ) -> dict[str, Any]:
        """Hand the features of one video to ``writer`` piece by piece, and finish it.

        Args:
            video: the video.
            writer: takes the features.
            recorder: is told which frames were seen, see :meth:`recorder`.

        Returns:
            The metadata: the spec's settings and, of this video, ``video``, ``video_bytes``,
            ``source_fps``, ``source_frames`` (decoded), ``frames`` (sampled at ``fps``),
            ``windows``, ``padded`` (repeated frames that fill the last window), ``shape``,
            ``window_seconds`` (start and end of each window in the file).

        Raises:
            MediaError: the video cannot be read to its end; nothing is left behind.
        """
        settings = self.spec.settings
        stream = FrameStream(video, settings['fps'], self.limits)
        facts: dict[str, Any] = dict(windows=0, padded=0, shape=[])
        seconds: list[list[float]] = []
        try:
            shown = timed_frames(stream)
            shown = shown if recorder is None else recorder.watch(shown)
            frames = (
                (self.transform(image, stream.sample_aspect), start, end)
                for image, start, end in shown
            )
            windows = timed_windows(frames, settings['window'], settings['stride'])
            for batch in in_batches(windows, self.batch_size):
                clips = np.stack([[w.images[i] for i in self.positions] for w in batch])
                if recorder is not None:
                    self._record(recorder, batch, clips)
                features = self._features(clips)
                writer.append(features)
                facts['windows'] += len(batch)
                seconds += [[round(part.start, 6), round(part.end, 6)] for part in batch]
                facts['padded'] = batch[-1].padded
                facts['shape'] = [facts['windows'], *features.shape[1:]]
            metadata = settings | facts | _video_record(video, stream)
            metadata['window_seconds'] = seconds
            writer.finish(metadata)
        # Also when it is stopped by hand: an unfinished file must not stay behind.
        except BaseException:
            writer.abandon()
            raise
        return metadata

    def _record(
        self, recorder: StreamRecorder, windows: list[TimedWindow], clips: np.ndarray
    ) -> None:
        for part, clip in zip(windows, clips, strict=True):
            recorder.add([part.positions[i] for i in self.positions], clip.transpose(3, 0, 1, 2))

    @torch.inference_mode()
    def _features(self, clips: np.ndarray) -> np.ndarray:
        """Features of the frames (windows, T, H, W, 3) that are seen of each window."""
        # Copied as uint8 and normalised there: floats would be four times the bytes.
        video = torch.from_numpy(clips).permute(0, 4, 1, 2, 3).to(self.device)
        with self.autocast:
            features = self._pool(self.normalise.normalise(video))
        # Features in bfloat16 become float32: NumPy has no such type.
        half = self.spec.settings['dtype'] == 'float16'
        return features.to(torch.float16 if half else torch.float32).cpu().numpy()

    def _pool(self, video: Tensor) -> Tensor:
        pool, layer = self.spec.settings['pool'], self.spec.settings['layer']
        layers = [] if layer is None else [layer]
        output: EncoderOutput = self.encoder(
            video, return_layers=layers, layers_only=layer is not None
        )
        if pool == 'pooled':
            return output.pooled
        tokens = output.tokens if layer is None else output.layers[0]
        count = self.encoder.num_prefix_tokens
        return POOLING[pool](tokens[:, :count], tokens[:, count:], output.grid[0])


class _Collector:
    """A writer that keeps features in memory."""

    def __init__(self) -> None:
        self.parts: list[np.ndarray] = []

    def append(self, features: np.ndarray) -> None:
        self.parts.append(features)

    def finish(self, metadata: dict[str, Any]) -> None:
        """Complete nothing."""

    def abandon(self) -> None:
        self.parts.clear()


def weights_sha256(weights: EncoderWeights) -> str:
    """SHA-256 of a checkpoint file, fetched first when it is an address.

    Of weights in several files: of their hashes.
    """
    from internvideo.checkpoint.sources import resolve_source

    found = []
    for source in filter(None, (weights.source, (weights.options or {}).get('extra'))):
        with Path(resolve_source(source)).open('rb') as file:
            found.append(hashlib.file_digest(file, 'sha256').hexdigest())
    return found[0] if len(found) == 1 else hashlib.sha256(''.join(found).encode()).hexdigest()


def _video_record(video: str | os.PathLike, stream: FrameStream) -> dict[str, Any]:
    return dict(
        video=os.fspath(video),
        video_bytes=Path(video).stat().st_size,
        source_fps=stream.source_fps,
        source_frames=stream.decoded,
        frames=stream.yielded,
    )


def _load_encoder(spec: FeatureSpec) -> VideoEncoder:
    if spec.weights is not None:
        return get_encoder(spec.config, spec.weights)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(RANDOM_SEED)  # the same in every worker
        return get_encoder(spec.config)


def _normaliser(config: Config) -> nn.Module:
    own = config.model.get('data_preprocessor') or {}
    mean, std = own.get('mean', IMAGENET_MEAN), own.get('std', IMAGENET_STD)
    return MODELS.build(dict(type='ClipDataPreprocessor', mean=mean, std=std))


def _encoder_record(model: str | os.PathLike | Config, config: Config) -> dict[str, Any]:
    name = Path(config.filename or 'config') if isinstance(model, Config) else model
    return dict(config=os.fspath(name), **_plain(encoder_settings(config)[1]))


def _plain(value: Any) -> Any:
    """Config values as JSON has them."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value
