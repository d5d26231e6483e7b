"""tools/analysis/report.py on the predictions of a run."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from internvideo.datasets.synthetic.world import make_world
from tests.paths import TOOLS

TOOL = TOOLS / 'analysis' / 'report.py'


def run_report(*args):
    command = [sys.executable, str(TOOL), *map(str, args)]
    return subprocess.run(command, capture_output=True, text=True, timeout=300)


def prediction(folder, index, line, right):
    path, label = line.split(',')
    guess = int(label) if right else 1 - int(label)
    scores = [0.1, 0.1]
    scores[guess] = 0.9
    return dict(path=str(folder / path), sample_index=index, gt_label=int(label), gt_name='a',
                pred_label=guess, pred_name=None, pred_score=scores, unreadable=None)  # fmt: skip


@pytest.fixture
def work_dir(tmp_path):
    motions = ('left', 'right')
    make_world(tmp_path / 'world', num_train=2, num_val=2, num_test=4, motions=motions, workers=1)
    folder = tmp_path / 'world' / 'recognition'
    lines = (folder / 'test.csv').read_text().split()
    rows = [prediction(folder, i, line, right=i > 0) for i, line in enumerate(lines)]
    rows[3] |= dict(pred_label=None, pred_score=None, unreadable='truncated')
    (tmp_path / 'predictions.json').write_text(json.dumps(rows))
    return tmp_path


def test_it_prints_top1_and_the_pictures(work_dir):
    done = run_report(work_dir)
    assert done.returncode == 0, done.stderr
    first, *files = done.stdout.splitlines()
    assert first == 'top-1: 50.0'
    assert [Path(line.partition(': ')[2]).is_file() for line in files] == [True] * 3


def test_what_is_missing_is_named(work_dir):
    (work_dir / 'few.txt').write_text('left\n')
    done = run_report(work_dir, '--classes', work_dir / 'few.txt')
    assert done.returncode == 2 and 'few.txt: 1 class names for 2 classes' in done.stderr
    (work_dir / 'predictions.json').unlink()
    done = run_report(work_dir)
    assert done.returncode == 2
    assert f'no predictions at {work_dir / "predictions.json"}: run tools/test.py' in done.stderr
