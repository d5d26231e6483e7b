"""The released behaviour of ViCLIP by name: its frames, pixels and label probabilities."""

import av
import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config

from internvideo.apis import VideoTextRetriever
from internvideo.hub.model_zoo import get_config
from internvideo.models.text.tokenizers import CLIPTokenizer
from tests.apis.tiny import write_video
from tests.apis.tiny_retrieval import write_weights

TEXTS = ['a red ball moves right', 'Blue square, down!', 'what is it', 'a dog']
MEAN, STD = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])


@pytest.fixture(scope='module')
def tiny(tmp_path_factory):
    """The config of the released model with towers of a few kilobytes, and its weights."""
    folder = tmp_path_factory.mktemp('viclip')
    config = get_config('configs/internvideo1/viclip/B16_demo.py')
    sizes = dict(embed_dim=16, depth=2, num_heads=2, mlp_ratio=2.0)
    config.model.vision_encoder.update(arch=sizes, patch_size=56, output_dim=12)
    config.model.text_encoder.update(embed_dim=12, width=16, heads=2, layers=1)
    config.model.init_cfg = None
    config.dump(str(folder / 'tiny_demo.py'))
    return folder / 'tiny_demo.py', write_weights(folder / 'tiny_demo.py', folder / 'tiny.pth')


@pytest.fixture(scope='module')
def video(tmp_path_factory):
    frames = np.random.default_rng(0).integers(0, 255, (37, 40, 64, 3), np.uint8)
    path = tmp_path_factory.mktemp('videos') / 'noise.mp4'
    write_video(path, np.stack([cv2.blur(frame, (9, 9)) for frame in frames]))
    return path


def make(config, weights):
    return VideoTextRetriever(config, weights, 'cpu', batch_size=2, workers=0)


def released_clip(path):
    """(1, 3, 8, 224, 224) as the published demo prepares it."""
    with av.open(str(path)) as container:
        frames = [frame.to_ndarray(format='bgr24') for frame in container.decode(video=0)]
    chosen = frames[:: len(frames) // 8][:8]
    resized = [cv2.resize(frame[:, :, ::-1], (224, 224)) for frame in chosen]
    clip = (np.stack(resized) / 255.0 - MEAN) / STD
    return torch.from_numpy(clip).float().permute(3, 0, 1, 2)[None]


@torch.no_grad()
def test_labels_are_those_of_the_released_demo(tiny, video):
    retriever = make(*tiny)
    model = retriever.encoder.model
    seen = torch.nn.functional.normalize(model.encode_video(released_clip(video)), dim=-1)
    ids = CLIPTokenizer(32)(TEXTS)['input_ids']
    said = torch.nn.functional.normalize(model.encode_text(ids), dim=-1)
    expected = (100 * seen @ said.T).softmax(dim=-1)[0].tolist()
    found = dict(retriever.labels(video, TEXTS))
    assert [found[text] for text in TEXTS] == pytest.approx(expected, abs=2e-4)
    assert max(expected) - min(expected) > 0.01  # or any frames would do


def test_videos_are_found_by_words(tiny, video, tmp_path):
    retriever = make(*tiny)
    report = retriever.index(video.parent, tmp_path / 'index')
    assert (report.encoded, report.failed) == (1, {})
    assert retriever.search(TEXTS[0])[0].path.endswith('noise.mp4')


@pytest.mark.parametrize('size', ['B16', 'L14'])
def test_the_released_model_is_known_by_name(size):
    config = get_config(f'internvideo1/viclip/{size}_demo')
    assert isinstance(config, Config) and config.model.init_cfg.adapter == 'viclip'
    assert config.test_dataloader.dataset.sampling.mode == 'every'
