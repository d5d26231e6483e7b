"""Inferencers, one a file, and the functions that find their models."""

import importlib
from typing import TYPE_CHECKING, Any

# For type checkers alone: at run time __getattr__ imports each when it is used.
if TYPE_CHECKING:
    from internvideo.hub.model_zoo import get_config, get_model, list_models
    from internvideo.hub.video_encoders import get_encoder
    from internvideo.search.vector_index import IndexMismatchError
    from internvideo.structures import Recognition

    from .action_recognizer import ActionRecognizer
    from .feature_extractor import FeatureExtractor, FeatureSpec, feature_spec
    from .video_captioner import VideoCaption, VideoCaptioner
    from .video_text_retriever import IndexReport, VideoMatch, VideoTextRetriever

_EXPORTS = {
    'ActionRecognizer': 'internvideo.apis.action_recognizer',
    'FeatureExtractor': 'internvideo.apis.feature_extractor',
    'FeatureSpec': 'internvideo.apis.feature_extractor',
    'IndexMismatchError': 'internvideo.search.vector_index',
    'IndexReport': 'internvideo.apis.video_text_retriever',
    'Recognition': 'internvideo.structures',
    'VideoCaption': 'internvideo.apis.video_captioner',
    'VideoCaptioner': 'internvideo.apis.video_captioner',
    'VideoMatch': 'internvideo.apis.video_text_retriever',
    'VideoTextRetriever': 'internvideo.apis.video_text_retriever',
    'get_config': 'internvideo.hub.model_zoo',
    'get_encoder': 'internvideo.hub.video_encoders',
    'get_model': 'internvideo.hub.model_zoo',
    'list_models': 'internvideo.hub.model_zoo',
    'feature_spec': 'internvideo.apis.feature_extractor',
}

__all__ = [
    'ActionRecognizer',
    'FeatureExtractor',
    'FeatureSpec',
    'IndexMismatchError',
    'IndexReport',
    'Recognition',
    'VideoCaption',
    'VideoCaptioner',
    'VideoMatch',
    'VideoTextRetriever',
    'feature_spec',
    'get_config',
    'get_encoder',
    'get_model',
    'list_models',
]


def __getattr__(name: str) -> Any:
    # Imported on first use: listing models must not wait for torch.
    if name not in _EXPORTS:
        raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
    return getattr(importlib.import_module(_EXPORTS[name]), name)
