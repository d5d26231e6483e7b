"""The example project: its parts, and a run through the command line."""

import json
import subprocess
import sys

import pytest
import torch

from internvideo.datasets.synthetic.world import make_world
from internvideo.models.backbones.base import EncoderOutput
from internvideo.structures import VideoDataSample
from projects.example_project import CosineHead, FocalLoss, GroupedVideoDataset
from tests.paths import ROOT

CONFIG = ROOT / 'projects' / 'example_project' / 'configs' / 'grouped_synthetic.py'


@pytest.mark.parametrize('soft', [False, True])
def test_focal_loss_without_focus_is_cross_entropy(soft):
    logits = torch.randn(5, 4)
    target = torch.rand(5, 4).softmax(-1) if soft else torch.randint(4, (5,))
    plain = torch.nn.functional.cross_entropy(logits, target)
    assert torch.allclose(FocalLoss(gamma=0)(logits, target), plain)
    assert FocalLoss(gamma=2)(logits, target) < plain


def test_cosine_head_ignores_the_length_of_features():
    head = CosineHead(num_classes=4, in_dim=8, temperature=0.5)
    pooled = torch.randn(3, 8)
    one, two = (
        head(EncoderOutput(tokens=pooled[:, None], pooled=x, layers=[], attn=None, grid=(1, 1, 1)))
        for x in (pooled, 7 * pooled)
    )
    assert torch.allclose(one, two, atol=1e-6)
    assert one.shape == (3, 4) and one.abs().max() <= 2
    features = EncoderOutput(pooled[:, None], pooled, [], None, (1, 1, 1))
    samples = [VideoDataSample().set_gt_label(label) for label in range(3)]
    assert head.loss(features, samples)['loss'].requires_grad


def test_grouped_dataset_maps_labels(tmp_path):
    (tmp_path / 'list.csv').write_text('a.mp4,0\nb.mp4,2\nc.mp4,1\n')
    options = dict(
        ann_file=str(tmp_path / 'list.csv'),
        classes=['left', 'up', 'right'],
        sampling=dict(type='UniformSample', num_frames=2),
        pipeline=[],
    )
    data = GroupedVideoDataset(groups=dict(x=['left', 'right'], y=['up']), **options)
    assert [data.get_data_info(row)['label'] for row in range(3)] == [0, 0, 1]
    assert data.metainfo == dict(classes=('x', 'y'), num_classes=2)
    with pytest.raises(ValueError, match=r"each class of the list once: \['right', 'up'\]"):
        GroupedVideoDataset(groups=dict(x=['left']), **options)


def run_tool(tool, *args, folder):
    command = [sys.executable, str(ROOT / 'tools' / tool), *map(str, args)]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=500)


@pytest.mark.slow
def test_it_trains_and_tests_through_the_command_line(tmp_path, monkeypatch):
    monkeypatch.setenv('INTERNVIDEO2_DATA_PATH', str(tmp_path))
    make_world(tmp_path / 'synthetic', num_train=16, num_val=8, num_test=8, workers=1)
    broken = tmp_path / 'synthetic' / 'recognition' / 'videos' / 'test' / 'test_00003.mp4'
    broken.write_bytes(broken.read_bytes()[:500])
    options = [
        'train_cfg.max_epochs=1',
        'train_cfg.val_interval=1',
        'param_scheduler.warmup_epochs=0',
    ]
    options += ['train_dataloader.batch_size=4', 'default_hooks.checkpoint.interval=1']
    options += [f'{split}_dataloader.num_workers=0' for split in ('train', 'val', 'test')]
    work_dir = tmp_path / 'run'
    done = run_tool(
        'train.py', CONFIG, '--work-dir', work_dir, '--cfg-options', *options, folder=tmp_path
    )
    assert done.returncode == 0, done.stderr[-2000:]
    weights = next(work_dir.glob('best*.pth'))
    predictions = work_dir / 'predictions.json'
    done = run_tool(
        'test.py', CONFIG, weights, '--work-dir', work_dir, '--out', predictions,
        '--cfg-options', *options, folder=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    rows = json.loads(predictions.read_text())
    assert [row['sample_index'] for row in rows if row['unreadable']] == [3]
    assert {row['gt_name'] for row in rows} <= {'sideways', 'upright', 'zoom', 'restless'}
    assert str(broken) in (work_dir / 'unreadable_test_videos.jsonl').read_text()
    done = run_tool('analysis/report.py', work_dir, folder=tmp_path)
    assert done.stdout.startswith('top-1: '), done.stderr
