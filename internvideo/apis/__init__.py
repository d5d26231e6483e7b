"""Inferencers and the model zoo."""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .action_recognizer import ActionRecognizer, Recognition
    from .feature_extractor import FeatureExtractor, FeaturePlan, plan_features
    from .model_zoo import get_config, get_encoder, get_model, list_models
    from .retrieval_index import IndexMismatchError
    from .video_text_retriever import IndexReport, VideoMatch, VideoTextRetriever

_EXPORTS = {
    'ActionRecognizer': 'action_recognizer',
    'FeatureExtractor': 'feature_extractor',
    'FeaturePlan': 'feature_extractor',
    'IndexMismatchError': 'retrieval_index',
    'IndexReport': 'video_text_retriever',
    'Recognition': 'action_recognizer',
    'VideoMatch': 'video_text_retriever',
    'VideoTextRetriever': 'video_text_retriever',
    'get_config': 'model_zoo',
    'get_encoder': 'model_zoo',
    'get_model': 'model_zoo',
    'list_models': 'model_zoo',
    'plan_features': 'feature_extractor',
}

__all__ = [
    'ActionRecognizer',
    'FeatureExtractor',
    'FeaturePlan',
    'IndexMismatchError',
    'IndexReport',
    'Recognition',
    'VideoMatch',
    'VideoTextRetriever',
    'get_config',
    'get_encoder',
    'get_model',
    'list_models',
    'plan_features',
]


def __getattr__(name: str) -> Any:
    # Imported on first use: listing models must not wait for torch.
    if name not in _EXPORTS:
        raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
    return getattr(importlib.import_module(f'.{_EXPORTS[name]}', __name__), name)
