"""Tiny retrieval models as configs with weights, and videos that they tell apart."""

from pathlib import Path
from typing import Any

import numpy as np
import torch

from internvideo.datasets.synthetic.media import write_video as write_sounding_video
from internvideo.models.text.example_vocabularies import write_word_pieces
from tests.apis.tiny import moving_frames, write_video
from tests.datasets.media_world import tone
from tests.models.tasks.retrieval.small_models import AUDIO, BERT, VISION

WORDS = 300
SOUND_NAMES = ('vtc', 'vtm', 'atc', 'atm', 'avtc', 'avtm')


def retrieval_model(tokenizer: Path, audio: bool = False, **fields: Any) -> dict[str, Any]:
    """The config of a stage-2 model."""
    arch = BERT['arch'] | dict(vocab_size=WORDS, max_position_embeddings=16)
    hearing = dict(
        audio_encoder=AUDIO, av_concat_dim=14, loss_weights=dict.fromkeys(SOUND_NAMES, 1.0)
    )
    return dict(
        type='InternVideo2Stage2',
        data_preprocessor=preprocessor(type='WordPieceTokenizer', source=str(tokenizer)),
        vision_encoder=VISION,
        text_encoder=dict(BERT, arch=arch),
        embed_dim=10,
        **(hearing if audio else {}),
        **fields,
    )


def clip_model() -> dict[str, Any]:
    """The config of a CLIP model, which has no matching head."""
    text = dict(
        type='MobileCLIPText', dim=16, n_transformer_layers=1, n_heads_per_layer=2,
        projection_dim=12,
    )  # fmt: skip
    return dict(
        type='InternVideo2CLIP',
        data_preprocessor=preprocessor(type='CLIPTokenizer', max_length=77),
        vision_encoder=VISION,
        text_encoder=text,
    )


def preprocessor(max_length: int = 12, **tokenizer: Any) -> dict[str, Any]:
    return dict(type='MediaTextPreprocessor', tokenizer=dict(max_length=max_length, **tokenizer))


def write_retrieval_config(folder: Path, model: dict[str, Any], size: int = 28) -> Path:
    """A config of ``model`` whose test loader takes two frames."""
    dataset = dict(
        type='EvaluationSets',
        backend='pyav',
        sampling=dict(type='IntervalSample', num_frames=2, mode='middle'),
        pipeline=[dict(type='ResizeSquare', size=size), dict(type='PackMedia')],
        audio=dict(max_seconds=1, num_mel_bins=16),
    )
    path = folder / 'retrieval.py'
    lines = ("default_scope = 'internvideo'", f'model = {model!r}')
    path.write_text('\n'.join((*lines, f'test_dataloader = dict(dataset={dataset!r})\n')))
    return path


def tiny_retrieval(folder: Path, audio: bool = False, **fields: Any) -> tuple[Path, Path]:
    """Config and weights of a stage-2 model."""
    tokenizer = folder / 'tokenizer'
    tokenizer.mkdir(parents=True, exist_ok=True)
    write_word_pieces(tokenizer)
    config = write_retrieval_config(folder, retrieval_model(tokenizer, audio, **fields))
    return config, write_weights(config, folder / 'retrieval.pth')


def write_weights(config: Path, path: Path, seed: int = 0) -> Path:
    """Random weights, the matching head's large enough to tell pairs apart."""
    from internvideo.apis import get_model

    torch.manual_seed(seed)
    model = get_model(config)
    for name in ('itm_head', 'atm_head', 'avtm_head'):
        if hasattr(model, name):
            torch.nn.init.normal_(getattr(model, name).weight)
    for parameter in model.vision_encoder.parameters():
        torch.nn.init.normal_(parameter, std=0.3) if parameter.ndim > 1 else None
    torch.save(dict(state_dict=model.state_dict()), path)
    return path


def write_videos(folder: Path, count: int, sound: bool = False, first: int = 0) -> list[Path]:
    """``0.mp4``, ``1.mp4``, ...: noise that drifts, with a tone each if ``sound``."""
    paths = [folder / f'{number}.mp4' for number in range(first, first + count)]
    folder.mkdir(parents=True, exist_ok=True)
    for number, path in enumerate(paths, start=first):
        frames = moving_frames(8, seed=number) // (1 + number % 3)
        if sound:
            write_sounding_video(path, frames, tone(0.8, 200 + 40 * number), 10)
        else:
            write_video(path, frames)
    return paths


def unit_rows(count: int, width: int, seed: int = 0) -> np.ndarray:
    """float32 rows of length 1."""
    rows = np.random.default_rng(seed).standard_normal((count, width), np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)
