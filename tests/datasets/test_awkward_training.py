"""Runs over a list of all awkward kinds, broken ones among them: they end, and name what is bad."""

import json
from pathlib import Path

import pytest

from internvideo.cli import extract_features, recognize, search
from internvideo.datasets.synthetic import make_world
from tests.apis.tiny import exit_code, write_checkpoint, write_config
from tests.apis.tiny_retrieval import tiny_retrieval
from tests.tools.test_cli import ROOT, TEST, TRAIN, call

from .media.awkward_media import KINDS
from .media.media_kinds import EXACT, REFUSED

# A folder given by name is searched, and an empty one is an error of the command line.
FILES = [name for name, kind in KINDS.items() if name != 'folder.mp4']
CONFIG = ROOT / 'configs/internvideo2/tiny_synthetic.py'
READABLE = {name for name, kind in KINDS.items() if kind.outcome == EXACT}
# A damaged file is refused when what is damaged is asked for.
BROKEN = {name for name, kind in KINDS.items() if kind.outcome == REFUSED and not kind.damaged}


@pytest.fixture
def options(awkward: Path, tmp_path: Path, monkeypatch) -> list[str]:
    """Settings of a short run over all kinds, with two workers."""
    monkeypatch.setenv('INTERNVIDEO2_DATA_PATH', str(tmp_path / 'data'))
    sizes = dict(num_train=4, num_val=2, num_test=2)
    make_world(tmp_path / 'data/synthetic', size=40, num_frames=12, workers=0, **sizes)
    (tmp_path / 'all.csv').write_text(''.join(f'{name},0\n' for name in KINDS))
    changes = dict(ann_file=tmp_path / 'all.csv', data_prefix=awkward)
    return [
        *('train_cfg.max_epochs=1', 'param_scheduler.warmup_epochs=0', 'log_level=ERROR'),
        *(f'{part}_dataloader.num_workers={count}' for part, count in WORKERS.items()),
        *(
            f'{part}_dataloader.dataset.{field}={value}'
            for part in ('train', 'test')
            for field, value in changes.items()
        ),
        *('train_dataloader.batch_size=8', '+train_dataloader.dataset.max_bad_share=None'),
    ]


WORKERS = dict(train=2, val=0, test=2)


def names_in(path: Path) -> set[str]:
    """Names of the files in a list of bad samples, each with a reason."""
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert all(line['reason'] for line in lines)
    return {Path(line['path']).name for line in lines}


@pytest.mark.slow
def test_training_and_testing_end_and_name_what_is_bad(options, tmp_path) -> None:
    run = tmp_path / 'run'
    assert call(TRAIN, CONFIG, '--work-dir', run, '--cfg-options', *options) == 0
    bad = names_in(run / 'bad_samples.jsonl')
    assert bad >= BROKEN and not bad & READABLE
    arguments = ['--work-dir', run, '--out', run / 'out.json', '--cfg-options', *options]
    assert call(TEST, CONFIG, run / 'epoch_1.pth', *arguments) == 0
    predictions = json.loads((run / 'out.json').read_text())
    assert len(predictions) == len(KINDS)
    bad = {Path(each['path']).name for each in predictions if each['unreadable']}
    assert bad >= BROKEN and not bad & READABLE


@pytest.fixture(scope='module')
def tiny(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    folder = tmp_path_factory.mktemp('tiny')
    config = write_config(folder)
    return [str(config), '--checkpoint', str(write_checkpoint(config, folder / 'tiny.pth'))]


@pytest.mark.slow
def test_features_of_all_kinds(tiny, awkward, tmp_path) -> None:
    files = [str(awkward / name) for name in FILES]
    flags = ['--device', 'cpu', '--out', str(tmp_path / 'out'), '--root', str(awkward)]
    parser = extract_features.build_parser()
    assert exit_code(extract_features.main, parser, *tiny, *files, *flags) == 1
    bad = names_in(tmp_path / 'out' / 'failed.jsonl')
    assert bad >= BROKEN & set(FILES) and not bad & READABLE


@pytest.mark.slow
def test_predictions_of_all_kinds(tiny, awkward, tmp_path) -> None:
    files = [str(awkward / name) for name in FILES]
    flags = ['--device', 'cpu', '--json', str(tmp_path / 'out.json')]
    parser = recognize.build_parser()
    assert exit_code(recognize.main, parser, *tiny, *files, *flags) == 1
    results = json.loads((tmp_path / 'out.json').read_text())
    bad = {Path(each['source']).name for each in results if 'error' in each}
    assert bad >= BROKEN & set(FILES) and not bad & READABLE


@pytest.mark.slow
def test_search_of_all_kinds(awkward, tmp_path, capsys) -> None:
    config, weights = tiny_retrieval(tmp_path)
    index = tmp_path / 'index'
    flags = ['--device', 'cpu', '--workers', '0', '--index', str(index)]
    asked = [str(config), '--checkpoint', str(weights), str(awkward), '--query', 'a ball', *flags]
    assert exit_code(search.main, search.build_parser(), *asked) in (0, 1)
    bad = names_in(index / 'failed.jsonl')
    # Files whose names are not those of videos are passed over.
    assert bad >= {name for name in BROKEN if name.endswith('.mp4')} - {'folder.mp4'}
    assert not bad & READABLE and 'text: a ball' in capsys.readouterr().out
