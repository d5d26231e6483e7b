"""Checks of data sets and transforms in a rehearsed config.

Every function takes the config of its part, the dotted field where it stands and the whole run;
parts hand them out as ``check_config``.
"""

import copy
import difflib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from internvideo.datasets.formats.annotations import AnnotationList
from internvideo.registry import DATASETS, MODELS
from internvideo.structures.encoded_sets import is_metric_of
from internvideo.structures.rehearsal import Finding, RehearsedRun

from .example_rows import chosen, entries
from .item_counts import files_of

Config = Mapping[str, Any]

TRAIN, VAL = 'train_dataloader', 'val_dataloader'
DRAWN_MODES = ('train', 'rand', 'random')
"""Modes of sampling that draw frames at random."""
MIRRORED = ('ssv',)
"""Parts of the names of data sets whose labels tell left from right (Something-Something)."""
PROBED_ROWS = 5


def labelled_list(config: Config, field: str, run: RehearsedRun) -> Iterator[Finding]:
    """Role of a loader's list, classes, files and media."""
    loader = field.split('.')[0]
    yield from role(config, field, loader == TRAIN)
    yield from split(config, field, run)
    yield from _views(field, run)
    if run.num_classes is not None and 'label' not in config.get('columns', ('path', 'label')):
        yield Finding(f'{field}.columns', 'the rows have no label, the head needs one')
    yield from _list_and_media(config, field)


def role(config: Config, field: str, trains: bool) -> Iterator[Finding]:
    """Check that only training data is drawn and replaced when broken."""
    loader = field.split('.')[0]
    if bool(config.get('test_mode')) == trains:
        word = 'must not' if trains else 'must'
        yield Finding(f'{field}.test_mode', f'{loader} {word} have test_mode=True')
    mode = (config.get('sampling') or {}).get('mode')
    is_even = isinstance(mode, str) and mode.startswith('fps')  # does for both
    if mode is not None and not is_even and (mode in DRAWN_MODES) != trains:
        yield Finding(f'{field}.sampling.mode', f'mode={mode!r} in {loader}')
    if not trains and config.get('num_repeats', 1) > 1:
        yield Finding(f'{field}.num_repeats', 'repeated augmentation counts samples twice here')


def split(config: Config, field: str, run: RehearsedRun) -> Iterator[Finding]:
    """Check that evaluation data is not trained on."""
    trained = (run.loaders.get(TRAIN) or {}).get('dataset') or {}
    path = config.get('ann_file')
    if not field.startswith(TRAIN) and path is not None and path == trained.get('ann_file'):
        yield Finding(f'{field}.ann_file', f'{path} is the training list')


def _views(field: str, run: RehearsedRun) -> Iterator[Finding]:
    item = run.observed.get(field.split('.')[0])
    views = item.shape[0] if item is not None and len(item.shape) == 5 else 1
    if field.startswith(TRAIN) and views > 1:
        yield Finding(
            f'{field}.pipeline',
            f'a training clip has {views} views, as only tests have (num_views, crops)',
        )


def _list_and_media(config: Config, field: str) -> Iterator[Finding]:
    """Annotation lists parse, their labels are in range, and their media are where they say."""
    if 'ann_file' not in config:
        return
    names, path = config.get('classes'), Path(str(config['ann_file']))
    if isinstance(names, str) and not Path(names).is_file():
        yield Finding(f'{field}.classes', f'{names} does not exist', True)
    if not path.is_file():
        yield Finding(f'{field}.ann_file', f'{path} does not exist', True)
        return
    try:
        rows = AnnotationList(
            path, config.get('columns', ('path', 'label')), config.get('delimiter')
        )
        rows.check(config.get('num_classes'))
    except ValueError as error:
        yield Finding(f'{field}.ann_file', _line(error))
        return
    # In test mode what is unreadable is reported; in training another item would take its place.
    yield from _media(dict(config) | dict(test_mode=True, num_repeats=1), field)


def _media(config: Config, field: str) -> Iterator[Finding]:
    """A few rows of a test's data set, spread over it, can be read."""
    try:
        built = DATASETS.build(copy.deepcopy(dict(config)))
        # Spread, since a list of several folders may lack the last of them only.
        step = max(len(built) // PROBED_ROWS, 1)
        items = [built[row] for row in range(0, len(built), step)[:PROBED_ROWS]]
    except Exception as error:  # a part of any kind may refuse in any way
        yield Finding(field, _line(error))
        return
    reasons = [
        f'{item["data_samples"].path}: {item["data_samples"].unreadable}'
        for item in items
        if isinstance(item, Mapping) and item.get('inputs') is None and 'data_samples' in item
    ]
    if reasons:
        yield Finding(
            f'{field}.data_prefix',
            f'{len(reasons)} of {len(items)} media tried cannot be read, first {reasons[0]}',
        )


def questions(config: Config, field: str, run: RehearsedRun) -> Iterator[Finding]:
    """Role of a loader of questions, its files, and what becomes of its list of answers."""
    loader = field.split('.')[0]
    yield from role(config, field, loader == TRAIN)
    yield from split(config, field, run)
    yield from _answered(config, field, run)
    lost = [
        Finding(f'{field}.{name}', f'{config[name]} does not exist', True)
        for name in ('ann_file', 'answers')
        if isinstance(config.get(name), str) and not Path(config[name]).is_file()
    ]
    yield from lost
    if not lost and loader != TRAIN:
        yield from _media(config, field)
    elif not lost:
        yield from _builds(config, field)
    hooks = [hook.get('type') for hook in run.config.get('custom_hooks') or ()]
    if config.get('answers') is not None and 'CandidateAnswersHook' not in hooks:
        yield Finding(
            f'{field}.answers',
            'custom_hooks has no CandidateAnswersHook, without which the model answers freely',
        )
    collate = ((run.loaders.get(loader) or {}).get('collate_fn') or {}).get('type')
    if collate != 'collate_questions':
        yield Finding(f'{loader}.collate_fn', f'{collate}; questions need collate_questions')


def _answered(config: Config, field: str, run: RehearsedRun) -> Iterator[Finding]:
    """Questions are of the kind that the model says it answers."""
    kind, task = run.config['model'].get('type'), config.get('task', 'open_ended')
    model = MODELS.get(kind) if isinstance(kind, str) and kind in MODELS else kind
    answered = getattr(model, 'answered_task', task)
    if answered != task:
        yield Finding(f'{field}.task', f'{task!r} are no questions for {kind}')


def _builds(config: Config, field: str) -> Iterator[Finding]:
    try:
        DATASETS.build(copy.deepcopy(dict(config)))
    except Exception as error:  # a part of any kind may refuse in any way
        yield Finding(field, _line(error))


def mixture(config: Config, field: str, run: RehearsedRun) -> Iterator[Finding]:
    """Corpora are in the table, their files here, and batches are made by their sampler."""
    yield from _table(config, field, 'mix')
    loader = field.split('.')[0]
    sampler = (run.loaders.get(loader) or {}).get('batch_sampler')
    if config.get('policy') == 'weight':
        return
    if not sampler:
        yield Finding(f'{loader}.batch_sampler', 'a mixture of media needs a MediaBatchSampler')
        return
    name, sizes = f'{loader}.batch_sampler.batch_size', sampler.get('batch_size')
    if sizes is None:
        yield Finding(name, 'absent: how many items a batch has on every process')
    for media in sorted({entry.get('media_type', 'video') for _, entry in entries(config)}):
        size = sizes.get(media) if isinstance(sizes, Mapping) else sizes
        if sizes is not None and (size is None or size < 1):
            yield Finding(
                f'{name}.{media}' if isinstance(sizes, Mapping) else name,
                f'the mixture holds {media}, its batch size is {size}',
            )


def evaluation_sets(config: Config, field: str, run: RehearsedRun) -> Iterator[Finding]:
    """Sets are in the table, their files here, and the best checkpoint is that of one of them."""
    yield from _table(config, field, 'sets')
    hook = (run.config.get('default_hooks') or {}).get('checkpoint') or {}
    wanted = hook.get('save_best')
    if (
        field.startswith(VAL)
        and wanted is not None
        and not is_metric_of(str(wanted), chosen(config))
    ):
        yield Finding(
            'default_hooks.checkpoint.save_best',
            f'{wanted!r} is of none of the sets validated: {", ".join(chosen(config))}',
        )


def _table(config: Config, field: str, key: str) -> Iterator[Finding]:
    table = list(config.get('table') or ())
    if not chosen(config):
        yield Finding(f'{field}.{key}', 'nothing is chosen from the table')
    for wanted in chosen(config):
        if wanted not in table:
            yield Finding(
                f'{field}.{key}', f'{wanted!r} is not in the table; {_hint(wanted, table)}'
            )
    for name, entry in entries(config):
        where = f'{field}.table.{name}'
        for file in files_of(entry):
            if not file.is_file():
                yield Finding(f'{where}.ann_file', f'{file} does not exist', True)
        root = str(entry.get('data_prefix') or '')
        # Addresses are not looked up: only folders of this machine.
        if root and '://' not in root and not Path(root).is_dir():
            yield Finding(f'{where}.data_prefix', f'{root} does not exist', True)
        if entry.get('media_type') == 'audio_video' and 'pad_missing_audio' not in entry:
            yield Finding(
                f'{where}.pad_missing_audio',
                'say what becomes of videos without an audio track: True pads, False refuses',
            )


def mirroring(config: Config, field: str, run: RehearsedRun) -> Iterator[Finding]:
    """Clips are not mirrored whose labels tell left from right."""
    dataset = run.at(field.rpartition('.pipeline')[0]) or {}
    path = str(dataset.get('ann_file')).lower() if isinstance(dataset, Mapping) else ''
    if config.get('prob', 0.5) > 0 and any(name in path for name in MIRRORED):
        yield Finding(
            field,
            'RandomFlip turns left into right, which the labels of Something-Something name',
        )


def evaluation_order(config: Config, field: str, run: RehearsedRun) -> Iterator[Finding]:
    """An order for evaluation is not used in training."""
    if field.startswith(TRAIN):
        yield Finding(field, f'{config.get("type")} gives training data in one fixed order')


def training_order(config: Config, field: str, run: RehearsedRun) -> Iterator[Finding]:
    """An order that leaves out or repeats samples is not used in evaluation."""
    if not field.startswith(TRAIN):
        yield Finding(
            field,
            f'{config.get("type")} leaves out or repeats samples; evaluate with EvalSampler',
        )


def _hint(word: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(word, list(known), n=1, cutoff=0.6)
    return f'did you mean {near[0]}?' if near else f'known: {", ".join(sorted(known))}'


def _line(error: BaseException) -> str:
    text = str(error.args[0]) if isinstance(error, KeyError) and error.args else str(error)
    return ' '.join(text.split()) or type(error).__name__
