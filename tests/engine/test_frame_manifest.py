"""The manifest of a test: one process, two, evaluation sets, and what inference sees."""

from pathlib import Path

import pytest
import torch
from mmengine.config import Config

from internvideo.cli import recognize
from internvideo.cli.compare_manifests import compare
from internvideo.fileio.manifests import read_manifest
from internvideo.structures.frame_sampling import FrameSampling
from tests.apis.tiny import (
    CONFIG,
    exit_code,
    moving_frames,
    write_checkpoint,
    write_config,
    write_video,
)
from tests.processes import in_processes

LOADER = """
test_dataloader['dataset'].update(ann_file={rows!r}, data_prefix={folder!r}, test_mode=True,
    num_classes=3)
test_dataloader.update(batch_size=2, num_workers={workers}, sampler=dict(type='EvalSampler'),
    collate_fn=dict(type='collate_clips'))
test_evaluator = dict(type='AccuracyMetric', topk=(1,))
test_cfg = dict()
log_level = 'ERROR'
del val_dataloader
"""


def tiny_test(folder, workers=0):
    """Config and weights of a test of five videos, one of them broken."""
    for number in range(4):
        write_video(folder / f'videos/{number}.mp4', moving_frames(9 + number, seed=number))
    (folder / 'videos/bad.mp4').write_bytes(b'nothing')
    rows = folder / 'rows.csv'
    rows.write_text(''.join(f'{name}.mp4,1\n' for name in (3, 1, 'bad', 0, 2)))
    text = LOADER.format(rows=str(rows), folder=str(folder / 'videos'), workers=workers)
    config = write_config(folder, CONFIG + text)
    weights = write_checkpoint(config, folder / 'weights.pth')
    trained = FrameSampling.of_config(Config.fromfile(config)).to_dict()
    torch.save(torch.load(weights) | dict(meta=dict(frame_sampling=trained)), weights)
    return config, weights


def run_test(rank, config, weights, out, work_dir):
    """Test in this process, as the command does."""
    from internvideo.cli import test

    arguments = [config, weights, '--work-dir', work_dir, '--manifest', out]
    return test.command([*map(str, arguments)])


@pytest.fixture(scope='module')
def tested(tmp_path_factory):
    folder = tmp_path_factory.mktemp('tested')
    config, weights = tiny_test(folder)
    assert run_test(0, config, weights, folder / 'alone.jsonl', folder / 'alone') == 0
    return folder, config, weights


def test_every_sample_once_in_order(tested):
    folder, config, weights = tested
    header, records = read_manifest(folder / 'alone.jsonl')
    assert [record['sample_index'] for record in records] == [*range(5)]
    assert [Path(record['path']).name for record in records] == [
        *('3.mp4', '1.mp4', 'bad.mp4', '0.mp4', '2.mp4')
    ]
    assert [number for number, each in enumerate(records) if 'unreadable' in each] == [2]
    assert (header['config'], header['checkpoint']) == (str(config), str(weights))
    assert header['frame_sampling']['sampling']['type'] == 'UniformSample'


def test_two_processes_write_the_same(tested):
    folder, config, weights = tested
    out = folder / 'two.parquet'
    assert in_processes(2, run_test, config, weights, out, folder / 'two') == [0, 0]
    assert read_manifest(out).records == read_manifest(folder / 'alone.jsonl').records


def test_inference_sees_what_the_test_saw(tested):
    folder, config, weights = tested
    out = folder / 'recognized.jsonl'
    flags = ['--checkpoint', weights, '--device', 'cpu', '--manifest', out]
    parser = recognize.build_parser()
    assert exit_code(recognize.main, parser, *map(str, (config, folder / 'videos', *flags))) == 1
    tested_records, seen = (read_manifest(file).records for file in (folder / 'alone.jsonl', out))
    assert [each['sample_index'] for each in seen] == [*range(5)]
    found = compare(tested_records, seen)
    assert [each.verdict for each in found] == [
        *('same', 'same', 'unreadable in both', 'same', 'same')
    ]
    by_path = {each['path']: each for each in seen}
    for record in tested_records:
        same = by_path[record['path']] | dict(sample_index=record['sample_index'])
        assert same == record
