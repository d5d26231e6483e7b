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


def write_whole(path, scores, labels=(0, 1, 1)):
    """Predictions of one model for three videos."""
    records = [
        dict(sample_index=row, path=f'{row}.mp4', gt_label=label,
             unreadable='no frames' if score is None else None,
             pred_score=None if score is None else np.array(score, np.float32))
        for row, (label, score) in enumerate(zip(labels, scores, strict=True))
    ]  # fmt: skip
    AccuracyMetric(dump=str(path)).compute_metrics(records)
    return path


@pytest.mark.parametrize(
    ('weights', 'scores', 'top1'),
    [((), [[0.3, 0.7], [0.6, 0.4], [0.4, 0.6]], 1 / 3), ((3, 1), [[0.55, 0.45]], 2 / 3)],
)
def test_scores_of_two_models_are_averaged(tmp_path, capsys, weights, scores, top1):
    files = [
        write_whole(tmp_path / 'a.json', [[0.8, 0.2], [0.7, 0.3], [0.2, 0.8]]),
        write_whole(tmp_path / 'b.json', [[-0.2, 1.2], [0.5, 0.5], [0.6, 0.4]]),
    ]
    options = ['--weights', *map(str, weights)] if weights else []
    out = tmp_path / 'both.json'
    assert call(MERGE, *files, '--ensemble', *options, '--out', out) == 0
    rows = json.loads(out.read_text())
    for row, score in zip(rows, scores, strict=False):
        assert row['pred_score'] == pytest.approx(score, abs=1e-6)
        assert row['pred_label'] == int(np.argmax(score))
    said = dict(line.split(': ') for line in capsys.readouterr().out.splitlines())
    assert float(said['top1']) == pytest.approx(100 * top1, abs=0.1)


def test_what_one_model_could_not_read_has_no_average(tmp_path):
    whole = write_whole(tmp_path / 'a.json', [[0.8, 0.2], [0.7, 0.3], [0.2, 0.8]])
    partial = write_whole(tmp_path / 'b.json', [[0.8, 0.2], None, [0.2, 0.8]])
    row = MERGE.ensemble([whole, partial])[1]
    assert row['pred_score'] is None and row['unreadable'] == 'no frames'


@pytest.mark.parametrize(
    ('other', 'options', 'message'),
    [
        (dict(scores=[[1, 0]] * 2, labels=(0, 1)), [], '3 and 2 samples are not of one test'),
        (dict(scores=[[1, 0]] * 3, labels=(0, 1, 0)), [], 'sample 2 has gt_label 1 and 0'),
        (dict(scores=[[1, 0, 0]] * 3), [], 'scores of 2 and 3 classes'),
        (dict(scores=[[1, 0]] * 3), ['--weights', '1'], 'one non-negative number for each file'),
        (dict(scores=[[1, 0]] * 3), ['--weights', '0', '0'], 'one non-negative number'),
    ],
    ids=str,
)
def test_models_of_other_tests_are_refused(tmp_path, capsys, other, options, message):
    one = write_whole(tmp_path / 'a.json', [[0.8, 0.2], [0.7, 0.3], [0.2, 0.8]])
    two = write_whole(tmp_path / 'b.json', **other)
    assert call(MERGE, one, two, '--ensemble', *options) == 1
    assert message in capsys.readouterr().err


def test_shares_have_no_weights(parts, capsys):
    assert call(MERGE, *parts[0], '--weights', '1', '1', '1') == 2
    assert '--weights belong to --ensemble' in capsys.readouterr().err


@pytest.mark.parametrize(('index', 'count'), [(3, 3), (7, 8)])
def test_impossible_share(index, count):
    with pytest.raises(ValueError, match=f'share {index} of {count}'):
        DatasetShard(Rows(range(7)), index, count)


def test_share_that_is_none(tmp_path, capsys):
    (tmp_path / 'x.pth').touch()
    (tmp_path / 'x.py').write_text('test_dataloader = dict(dataset=dict())')
    assert call(TEST, tmp_path / 'x.py', tmp_path / 'x.pth', '--shard', '3') == 2
    assert '--shard 3: give i/n' in capsys.readouterr().err
