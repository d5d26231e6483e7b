"""Lists of many data sets: where their media are, how they are read, and unknown tags."""

from pathlib import Path

import pytest
import torch

from internvideo.datasets.media_sources import MediaSource, MediaSources
from internvideo.registry import DATASETS, FUNCTIONS
from tests.models.tasks.pretraining.small_models import build, pretraining

COLUMNS = ('source', 'path', 'duration', 'start', 'end', 'label')


def mixed_list(media: Path, folder: Path, lines: list[str], **fields):
    """The list of pretraining over files (`k400`) and folders of frames (`ssv2`)."""
    ann_file = folder / 'train.csv'
    ann_file.write_text('\n'.join(lines) + '\n')
    config = dict(
        type='VideoDataset',
        ann_file=str(ann_file),
        columns=COLUMNS,
        path_suffix='.mp4',
        sources=dict(
            k400=dict(data_prefix=str(media)),
            ssv2=dict(data_prefix=str(media), backend='frames'),
        ),
        sampling=dict(type='PretrainSample', num_frames=4),
        pipeline=[
            dict(type='MultiScaleCrop', size=28),
            dict(type='RandomFlip', prob=1.0),
            dict(type='PackInputs'),
        ],
    )
    return DATASETS.build(config | fields)


def test_each_source_has_its_root_and_its_reader(media: Path, tmp_path: Path) -> None:
    lines = ['k400 good -1 -1 -1 0', 'k400 good.mp4 3 1 2 0', 'ssv2 frames -1 -1 -1 7']
    data = mixed_list(media, tmp_path, lines)
    names = [Path(data.get_data_info(row)['path']).name for row in range(3)]
    assert names == ['good.mp4', 'good.mp4', 'frames']
    assert all(data[row]['inputs'].shape == (1, 3, 4, 28, 28) for row in range(3))


def test_something_something_is_never_mirrored(media: Path, tmp_path: Path) -> None:
    lines = [f'{source} good.mp4 -1 -1 -1 0' for source in ('k400', 'ssv2')]
    fields = dict(data_prefix=str(media), sources=dict(k400={}, ssv2={}))
    fields['pipeline'] = [dict(type='RandomFlip', prob=1.0), dict(type='PackInputs')]
    data = mixed_list(media, tmp_path, lines, **fields)
    # The red mark of the clips lies on the left.
    left = [data[row]['inputs'][0, 0, :, :20, :20].float().mean() > 200 for row in range(2)]
    assert left == [False, True]


def test_a_step_of_pretraining_on_a_mixed_list(media: Path, tmp_path: Path) -> None:
    lines = ['k400 good -1 -1 -1 0', 'k400 good 3 1.5 2.5 0', 'ssv2 frames -1 -1 -1 7']
    data = mixed_list(media, tmp_path, lines)
    batch = FUNCTIONS.get('collate_clips')([data[0, row] for row in range(3)])
    model = build(pretraining())
    losses = model(**model.data_preprocessor(batch), mode='loss')
    assert all(torch.isfinite(loss) for loss in losses.values())


def test_an_unknown_tag_is_named_with_its_line(media: Path, tmp_path: Path) -> None:
    lines = ['k400 good -1 -1 -1 0', 'youtube good -1 -1 -1 0']
    message = r"train\.csv:2: unknown source 'youtube'; known: k400, ssv2"
    with pytest.raises(ValueError, match=message):
        mixed_list(media, tmp_path, lines)
    unchecked = mixed_list(media, tmp_path, lines, check_annotations=False)
    with pytest.raises(ValueError, match=message):
        unchecked[1]


@pytest.mark.parametrize(
    ('fields', 'message'),
    [
        (dict(columns=('path', 'label')), r'train\.csv.* no column `source`'),
        (dict(sources=dict(k400=dict(prefix='x'))), r"sources\.k400: unknown \['prefix'\]"),
        (dict(sources=dict(k400=dict(backend='opencv'))), "unknown backend 'opencv'"),
    ],
)
def test_wrong_tables_are_named(media: Path, tmp_path: Path, fields, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        mixed_list(media, tmp_path, ['good.mp4 0'], **fields)


def test_folders_of_frames_get_no_suffix_and_absolute_paths_no_root() -> None:
    files = MediaSource('/data', path_suffix='.mp4')
    assert files.resolve('a/b') == '/data/a/b.mp4' and files.resolve('/x.avi') == '/x.avi'
    sources = MediaSources(files, dict(ssv2=dict(backend='frames')))
    assert sources.of(dict(source='ssv2')).resolve('7') == '/data/7'


def listed(media: Path, folder: Path, lines: list[str], **fields):
    """A list in the layout of masked autoencoders: path, first frame, frames or -1, label."""
    (folder / 'train.csv').write_text('\n'.join(lines) + '\n')
    config = dict(
        type='VideoDataset',
        ann_file=str(folder / 'train.csv'),
        columns=('path', 'start_index', 'total_frames', 'label'),
        backend='frames',
        data_prefix=str(media),
        sampling=dict(type='PretrainSample', num_frames=4, stride=2, num_segments=1),
        pipeline=[dict(type='MultiScaleCrop', size=28), dict(type='PackInputs')],
    )
    return DATASETS.build(config | fields)


def test_rows_are_folders_of_frames_or_files(media: Path, tmp_path: Path) -> None:
    data = listed(media, tmp_path, ['frames 5 4 0', 'good.mp4 0 -1 1', 'frames 1 12 0'])
    # Of four frames every second one, and the last that is reached again.
    levels = data[0]['inputs'].float().mean(dim=(0, 1, 3, 4))
    assert levels.tolist() == pytest.approx([50, 70, 70, 70], abs=2)
    assert data[1]['inputs'].shape == (1, 3, 4, 28, 28)
    assert data.get_data_info(1)['path'] == str(media / 'good.mp4')


def test_frames_beyond_those_of_the_folder_are_named(media: Path, tmp_path: Path) -> None:
    data = listed(media, tmp_path, ['frames 12 4 0'], test_mode=True)
    assert 'img_00014.jpg is missing' in data[0]['data_samples'].unreadable


def test_files_without_suffix_between_folders_of_frames() -> None:
    sources = MediaSources(MediaSource('root', 'frames', path_suffix='.mp4'))
    file, folder = (sources.of(dict(total_frames=n)) for n in (-1, 12))
    assert (file.backend, file.resolve('a')) == ('auto', 'root/a.mp4')
    assert (folder.backend, folder.resolve('a')) == ('frames', 'root/a')
