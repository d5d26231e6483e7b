import pickle
from pathlib import Path

import numpy as np
import pytest
import torch

from internvideo.apis import FeatureExtractor, feature_spec, get_model
from internvideo.datasets.bad_samples import MediaError
from internvideo.datasets.media.readers import open_video
from internvideo.fileio.feature_files import SUFFIXES, open_writer, read_metadata


def extract(tiny: tuple[Path, Path], video: Path, **settings) -> tuple[np.ndarray, dict]:
    return FeatureExtractor(feature_spec(*tiny, **settings), 'cpu', batch_size=3).extract(video)


def test_windows_equal_the_encoder_on_the_same_frames(
    tiny: tuple[Path, Path], videos: Path
) -> None:
    path = videos / 'sub' / '0.mp4'
    features, metadata = extract(tiny, path, window=8, stride=5)
    extractor = FeatureExtractor(feature_spec(*tiny), 'cpu')
    frames = open_video(str(path), 'pyav').get_batch([6, 8, 10, 12])
    frames = np.stack([extractor.transform(frame) for frame in frames])
    clip = torch.from_numpy(frames).permute(3, 0, 1, 2)[None]
    model = get_model(*tiny)
    with torch.inference_mode():
        expected = model.backbone(model.data_preprocessor.normalise(clip)).pooled
    np.testing.assert_allclose(features[1], expected[0], atol=1e-5)
    assert (metadata['frames'], metadata['windows'], metadata['padded']) == (30, 6, 3)
    assert metadata['shape'] == list(features.shape) == [6, 16]
    spans = [[0, 0.8], [0.5, 1.3], [1, 1.8], [1.5, 2.3], [2, 2.8], [2.5, 3]]
    np.testing.assert_allclose(metadata['window_seconds'], spans)


def test_windows_in_seconds_are_counted_at_the_rate(tiny: tuple[Path, Path]) -> None:
    settings = feature_spec(*tiny, window='2s', stride='0.5s', fps=4).settings
    assert (settings['window'], settings['stride']) == (8, 2)


def test_a_spec_travels_to_worker_processes(tiny: tuple[Path, Path]) -> None:
    spec = feature_spec(*tiny)
    copy = pickle.loads(pickle.dumps(spec))
    assert copy.settings == spec.settings and copy.weights == spec.weights


@pytest.mark.parametrize(
    ('pool', 'shape'),
    [
        ('pooled', (16,)),
        ('cls', (32,)),
        ('mean', (32,)),
        ('frames', (4, 32)),
        ('patches', (16, 32)),
        ('tokens', (17, 32)),
    ],
)
def test_pooling(tiny: tuple[Path, Path], videos: Path, pool: str, shape: tuple[int, ...]) -> None:
    features, metadata = extract(tiny, videos / 'sub' / '1.mp4', pool=pool, fps=5)
    tokens, _ = extract(tiny, videos / 'sub' / '1.mp4', pool='tokens', fps=5)
    assert features.shape == (4, *shape) and features.dtype == np.float32
    assert metadata['pool'] == pool and metadata['fps'] == 5
    patches = tokens[:, 1:]
    frames = np.stack([patches[:, 4 * t : 4 * t + 4].mean(1) for t in range(4)], 1)
    expected = dict(cls=tokens[:, 0], mean=patches.mean(1), frames=frames, patches=patches)
    np.testing.assert_allclose(features, expected.get(pool, features), atol=1e-6)


@pytest.mark.parametrize('kind', ['npy', 'npz', 'hdf5'])
def test_files_say_how_they_were_made(
    tiny: tuple[Path, Path], videos: Path, tmp_path: Path, kind: str
) -> None:
    if kind == 'hdf5':
        pytest.importorskip('h5py')
    extractor = FeatureExtractor(feature_spec(*tiny, stride=2), 'cpu', batch_size=4)
    target = tmp_path / f'x{SUFFIXES[kind]}'
    metadata = extractor.write(videos / 'sub' / '0.mp4', open_writer(target, kind))
    expected, _ = extractor.extract(videos / 'sub' / '0.mp4')
    found = read_metadata(target, kind)
    assert found == metadata
    assert len(found['window_seconds']) == found['windows']
    assert {'encoder', 'checkpoint_sha256', 'window', 'stride', 'fps', 'frames', 'pool'} <= {*found}
    np.testing.assert_array_equal(load(target, kind), expected)
    assert not list(tmp_path.glob('.writing-*'))


def load(target: Path, kind: str) -> np.ndarray:
    if kind == 'hdf5':
        import h5py

        return np.asarray(h5py.File(target)['features'])
    return np.load(target) if kind == 'npy' else np.load(target)['features']


def test_broken_video_leaves_nothing(tiny: tuple[Path, Path], videos: Path, tmp_path: Path) -> None:
    extractor = FeatureExtractor(feature_spec(*tiny), 'cpu')
    with pytest.raises(MediaError, match='broken'):
        extractor.write(videos / 'sub' / 'broken.mp4', open_writer(tmp_path / 'x.npz', 'npz'))
    assert list(tmp_path.iterdir()) == []


def test_encoder_alone_and_published_layout_load(
    tiny: tuple[Path, Path], videos: Path, tmp_path: Path
) -> None:
    state = torch.load(tiny[1], weights_only=True)['state_dict']
    published = {name.split('.', 1)[1]: tensor for name, tensor in state.items()}
    torch.save(dict(module=published), tmp_path / 'published.pth')
    ours, _ = extract(tiny, videos / 'sub' / '0.mp4')
    theirs, _ = extract((tiny[0], tmp_path / 'published.pth'), videos / 'sub' / '0.mp4')
    np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize(
    ('settings', 'text'),
    [
        (dict(window=2), 'shorter than the 4 frames'),
        (dict(stride=0), 'is no length'),
        (dict(window='2s'), 'set fps'),
        (dict(fps=-1), 'fps must be positive'),
        (dict(pool='max'), 'pool must be one of'),
        (dict(dtype='int4'), 'dtype must be one of'),
        (dict(checkpoint=None), 'give a checkpoint'),
    ],
)
def test_settings_that_cannot_be(tiny: tuple[Path, Path], settings: dict, text: str) -> None:
    with pytest.raises(ValueError, match=text):
        feature_spec(tiny[0], **(dict(checkpoint=tiny[1]) | settings))


def test_tokens_of_a_layer(tiny: tuple[Path, Path], videos: Path) -> None:
    path = videos / 'sub' / '1.mp4'
    last, whole = (extract(tiny, path, pool='mean', layer=layer)[0] for layer in (-1, None))
    first, metadata = extract(tiny, path, layer=0)
    np.testing.assert_array_equal(last, whole)
    assert first.shape == whole.shape and not np.allclose(first, whole)
    assert (metadata['pool'], metadata['layer']) == ('mean', 0)


@pytest.mark.parametrize(
    ('settings', 'text'),
    [
        (dict(layer=99), 'one of 2 blocks'),
        (dict(layer=0, pool='pooled'), 'made of the last block'),
        (dict(backbone=dict(clip_embed_dim=None), pool='pooled'), 'needs an encoder with a pooler'),
    ],
)
def test_features_that_the_encoder_does_not_have(tiny: tuple[Path, Path], settings, text) -> None:
    with pytest.raises(ValueError, match=text):
        feature_spec(*tiny, **settings)


@pytest.mark.parametrize(
    ('task', 'pool'), [('clip', 'pooled'), ('stage2', 'pooled'), ('qa', 'mean')]
)
def test_encoders_of_other_tasks(videos: Path, task: str, pool: str) -> None:
    plan = feature_spec(f'internvideo2/{task}/tiny_synthetic', random_weights=True, fps=5)
    features, metadata = FeatureExtractor(plan, 'cpu').extract(videos / 'sub' / '0.mp4')
    assert metadata['pool'] == pool and np.isfinite(features).all()
    assert len(features) == metadata['windows'] == 2
