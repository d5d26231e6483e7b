"""Video encoders by name: the encoder of any model that has one, and its weights."""

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from .model_zoo import (
    adapter_name,
    find_entry,
    get_config,
    published_weights,
    weights_source,
)

if TYPE_CHECKING:
    from mmengine.config import Config

    from internvideo.models.backbones.base import VideoEncoder

IGNORED_OPTIONS = ('type', 'checkpoint', 'text')
"""Fields of an ``init_cfg`` that do not tell how its file is read, or bring other parts."""


class EncoderWeights(NamedTuple):
    """Source of the weights of an encoder.

    Attributes:
        source: path or address of a checkpoint of the whole model, ours or published.
        adapter: checkpoint adapter of a published one; None: the default.
        options: its options, if any.
    """

    source: str
    adapter: str | None
    options: Mapping[str, Any] | None = None  # as plain data: jobs in processes are pickled


def get_encoder(
    name_or_config: 'str | os.PathLike | Config',
    pretrained: bool | str | os.PathLike | EncoderWeights = False,
    device: str = 'cpu',
    **overrides: Any,
) -> 'VideoEncoder':
    """Build only the video encoder of a model, without heads, decoders, teachers or text.

    Arguments and errors are those of :func:`~internvideo.hub.model_zoo.get_model`; checkpoints of
    the whole model load.  Of models whose released weights are several files, which ``init_cfg``
    names, ``pretrained=True`` takes those that hold the encoder.

    Raises:
        ValueError: the model has no video encoder.
    """
    from internvideo.registry import MODELS

    weights = find_encoder_weights(name_or_config, pretrained)
    config = get_config(name_or_config, **overrides)
    field, settings = encoder_settings(config)
    encoder = MODELS.build(settings)
    if weights is not None:
        _load(encoder, field, config, weights)
    return encoder.to(device).eval()


def encoder_settings(config: 'Config') -> tuple[str, dict[str, Any]]:
    """The field of ``model`` that holds the encoder (empty: the model is one), and its config.

    Raises:
        ValueError: the model has no video encoder.
    """
    from internvideo.models.backbones.base import VideoEncoder
    from internvideo.models.tasks.base import VideoModel
    from internvideo.registry import MODELS

    kind = MODELS.get(config.model['type'])
    if issubclass(kind, VideoEncoder):
        field = ''
    elif issubclass(kind, VideoModel):
        field = kind.encoder_field
    else:
        raise ValueError(f'{kind.__name__} has no video encoder (it is no VideoModel)')
    settings = dict(config.model[field] if field else config.model)
    settings.pop('init_cfg', None)
    return field, settings


def find_encoder_weights(
    name_or_config: 'str | os.PathLike | Config',
    pretrained: bool | str | os.PathLike | EncoderWeights,
) -> EncoderWeights | None:
    """Resolve ``pretrained`` of :func:`get_encoder`, None for random weights.

    Raises:
        KeyError: ``pretrained=True`` and no weights are known.
    """
    from mmengine.config import Config

    from .retrieval_model import names_released_weights

    if pretrained is False or isinstance(pretrained, EncoderWeights):
        return pretrained or None
    config = get_config(name_or_config)
    is_name = not isinstance(name_or_config, Config)
    known = find_entry(name_or_config).adapter if is_name else None
    adapter, init = known or adapter_name(config), dict(config.model.get('init_cfg') or {})
    if pretrained is not True:
        return EncoderWeights(os.fspath(pretrained), adapter)
    if (
        'kind' in init
        and published_weights(name_or_config) is None
        and names_released_weights(init)
    ):
        options = {key: value for key, value in init.items() if key not in IGNORED_OPTIONS}
        return EncoderWeights(init['checkpoint'], options.pop('adapter', None), options)
    return EncoderWeights(weights_source(name_or_config, True), adapter)


def _load(encoder: 'VideoEncoder', field: str, config: 'Config', weights: EncoderWeights) -> None:
    """Load all of a checkpoint of the whole model, or of the bare encoder.

    Raises:
        CheckpointMismatchError: it does not hold this encoder.
    """
    import torch

    from internvideo.checkpoint.loading import build_adapter, load_weights
    from internvideo.registry import MODELS

    # Adapters know whole models: on the meta device one costs next to nothing.  Tokenizers would
    # read files, and are of no use here.
    unused = dict.fromkeys(('data_preprocessor', 'init_cfg'))
    fields = dict(config.model) | {k: v for k, v in unused.items() if k in config.model}
    with torch.device('meta'):
        whole = MODELS.build(fields)
    adapter = build_adapter(weights.adapter, **(weights.options or {}))
    load_weights(encoder, weights.source, adapter, layout='either', field=field, whole=whole)
