"""The video encoder of any model that has one, with the weights of files of the whole model."""

from pathlib import Path
from typing import Any

import pytest
import torch
from mmengine.config import Config
from torch import nn

from internvideo.apis import get_encoder, get_model
from internvideo.checkpoint import CheckpointMismatchError
from internvideo.hub.model_zoo import list_models
from internvideo.hub.video_encoders import encoder_settings, find_encoder_weights, get_config
from internvideo.models.backbones.base import VideoEncoder
from internvideo.registry import CHECKPOINT_ADAPTERS, MODELS
from tests.models.tasks.retrieval.small_models import BERT, VISION

TEXT = dict(
    type='MobileCLIPText',
    dim=16,
    n_transformer_layers=1,
    n_heads_per_layer=2,
    projection_dim=12,
)


def tiny_model(kind: str) -> tuple[Config, nn.Module]:
    """A config and its model with random weights."""
    parts: dict[str, Any] = dict(type=kind, vision_encoder=VISION)
    parts['text_encoder'] = TEXT if kind.endswith('CLIP') else BERT
    if kind.endswith('Stage2'):
        parts['masking'] = dict(mask_id=3, cls_id=1)
    adapter = 'internvideo2_clip' if kind.endswith('CLIP') else 'internvideo2_stage2'
    config = Config(dict(model=parts | dict(init_cfg=dict(type='Published', adapter=adapter))))
    return config, MODELS.build(dict(parts))


@pytest.mark.parametrize('kind', ['InternVideo2CLIP', 'InternVideo2Stage2', 'VideoMultipleChoice'])
@pytest.mark.parametrize('num_frames', [None, 4])
def test_files_of_the_whole_model_fill_its_encoder(
    tmp_path: Path, kind: str, num_frames: int | None
) -> None:
    config, model = tiny_model(kind)
    file = tmp_path / 'model.pth'
    torch.save(dict(state_dict=model.state_dict()), file)
    changes = dict(vision_encoder=dict(num_frames=num_frames)) if num_frames else {}
    found, own = get_encoder(config, str(file), **changes).state_dict(), model.video_encoder
    assert found.keys() == own.state_dict().keys()
    for name, value in own.state_dict().items():
        if name in own.position_tables() and num_frames:
            assert found[name].shape[1] > value.shape[1]
        else:
            assert torch.equal(found[name], value), name


def test_published_files_fill_an_encoder(tmp_path: Path) -> None:
    config, model = tiny_model('InternVideo2Stage2')
    published = CHECKPOINT_ADAPTERS.build(dict(type='internvideo2_stage2')).to_published(
        model.state_dict()
    )
    torch.save(published, tmp_path / 'published.pth')
    found = get_encoder(config, str(tmp_path / 'published.pth')).state_dict()
    own = model.vision_encoder.state_dict()
    assert all(torch.equal(found[name], own[name]) for name in own)


def test_a_file_without_the_encoder_is_refused(tmp_path: Path) -> None:
    config, model = tiny_model('InternVideo2CLIP')
    text = {k: v for k, v in model.state_dict().items() if k.startswith('text_encoder.')}
    torch.save(text, tmp_path / 'text.pth')
    with pytest.raises(CheckpointMismatchError, match='nothing of vision_encoder'):
        get_encoder(config, str(tmp_path / 'text.pth'))


def test_every_listed_model_names_its_encoder() -> None:
    for name in list_models():
        _, settings = encoder_settings(get_config(name))
        assert issubclass(MODELS.get(settings['type']), VideoEncoder), name


def test_a_model_without_video_encoder_says_so() -> None:
    with pytest.raises(ValueError, match='MobileCLIPText has no video encoder'):
        get_encoder(Config(dict(model=TEXT)))


@pytest.mark.parametrize('task', ['clip', 'stage2', 'qa', 'pretrain'])
def test_encoders_of_all_tasks_by_name(task: str) -> None:
    name = f'internvideo2/{task}/tiny_synthetic'
    encoder = get_encoder(name)
    assert isinstance(encoder, VideoEncoder) and not encoder.training
    if task == 'clip':
        assert [*encoder.state_dict()] == [*get_model(name).video_encoder.state_dict()]


@pytest.mark.parametrize(
    ('name', 'width'),
    [
        ('internvideo_next_base_p14_res224_f16', 768),
        ('internvideo_next_large_p14_res224_f16', 1024),
    ],
)
def test_released_encoders_without_a_model_around_them(name, width):
    with torch.device('meta'):
        encoder = get_encoder(name, device='meta')
    assert (encoder.embed_dim, encoder.num_frames, encoder.img_size) == (width, 16, (224, 224))
    weights = find_encoder_weights(name, True)
    assert weights.adapter == 'internvideo_next' and name in weights.source
