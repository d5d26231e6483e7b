import json

import numpy as np
import pytest

from internvideo.cli import merge_predictions as MERGE
from internvideo.datasets.shard import DatasetShard
from internvideo.evaluation.accuracy import AccuracyMetric
from tests.tools.test_cli import TEST, call


class Rows(list):
    metainfo = dict(classes=('a', 'b'))

    def __getitem__(self, key):
        return super().__getitem__(key[1])


@pytest.fixture
def parts(tmp_path):
    """Predictions of seven videos, one of them unreadable, tested in three shares."""
    draws = np.random.RandomState(0)
    records = [
        dict(sample_index=row, path=f'{row}.mp4', gt_label=row % 2, unreadable=None,
             pred_score=draws.rand(2).astype(np.float32))
        for row in range(7)
    ]  # fmt: skip
    records[3].update(unreadable='no frames', pred_score=None)
    files = []
    for index in range(3):
        share = DatasetShard(Rows(records), index, 3)
        files.append(tmp_path / f'part-{index}.json')
        AccuracyMetric(dump=str(files[-1])).compute_metrics([share[k] for k in range(len(share))])
    return files, AccuracyMetric().compute_metrics(records)


def test_shares_give_the_metrics_of_the_whole(parts, tmp_path, capsys):
    files, whole = parts
    assert call(MERGE, *reversed(files), '--out', tmp_path / 'all.json') == 0
    said = dict(line.split(': ') for line in capsys.readouterr().out.splitlines())
    assert {name: pytest.approx(float(said[name]), rel=1e-4) for name in whole} == whole
    assert [row['sample_index'] for row in json.loads((tmp_path / 'all.json').read_text())] == [
        *range(7)
    ]


@pytest.mark.parametrize(
    ('chosen', 'message'), [((0, 2), 'samples are missing, such as row 1'), ((0, 0), 'more than')]
)
def test_wrong_parts_are_refused(parts, capsys, chosen, message):
    files, _ = parts
    assert call(MERGE, *(files[index] for index in chosen)) == 1
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(('index', 'count'), [(3, 3), (7, 8)])
def test_impossible_share(index, count):
    with pytest.raises(ValueError, match=f'share {index} of {count}'):
        DatasetShard(Rows(range(7)), index, count)


def test_share_that_is_none(tmp_path, capsys):
    (tmp_path / 'x.pth').touch()
    (tmp_path / 'x.py').write_text('test_dataloader = dict(dataset=dict())')
    assert call(TEST, tmp_path / 'x.py', tmp_path / 'x.pth', '--shard', '3') == 2
    assert '--shard 3: give i/n' in capsys.readouterr().err
