"""Rules about corpora, evaluation sets, texts and sound."""

import difflib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from internvideo.fileio.packaged import is_packaged
from internvideo.structures.encoded_sets import is_metric_of

from .data_rules import TRAIN
from .findings import Finding, one_line
from .generated_media import chosen, entries
from .subject import Subject
from .vocabularies import FIXED_CONTEXT, WRITERS, vocabulary_size

AUDIBLE = ('audio', 'audio_video')


def names(subject: Subject) -> Iterator[Finding]:
    """Corpora and evaluation sets are in their tables, and at least one is chosen."""
    for name, loader in subject.loaders.items():
        dataset = loader['dataset']
        field = f'{name}.dataset.{"mix" if name == TRAIN else "sets"}'
        table = list(dataset.get('table') or ())
        if not chosen(dataset):
            yield Finding(field, 'nothing is chosen from the table')
        for wanted in chosen(dataset):
            if wanted not in table:
                yield Finding(field, f'{wanted!r} is not in the table; {_hint(wanted, table)}')


def _hint(word: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(word, list(known), n=1, cutoff=0.6)
    return f'did you mean {near[0]}?' if near else f'known: {", ".join(sorted(known))}'


def annotations(subject: Subject) -> Iterator[Finding]:
    """Annotations and media are where they say."""
    for name, loader in subject.loaders.items():
        for key, entry in entries(loader['dataset']):
            for file in files_of(entry):
                if not file.is_file():
                    field = f'{name}.dataset.table.{key}.ann_file'
                    yield Finding(field, f'{file} does not exist', True)
            root = str(entry.get('data_prefix') or '')
            if root and '://' not in root and not Path(root).is_dir():
                field = f'{name}.dataset.table.{key}.data_prefix'
                yield Finding(field, f'{root} does not exist', True)


def files_of(entry: Mapping[str, Any]) -> list[Path]:
    """Annotation files of a table's entry."""
    given = entry.get('ann_file') or ()
    return [Path(str(file)) for file in ([given] if isinstance(given, str | Path) else given)]


def batch_sizes(subject: Subject) -> Iterator[Finding]:
    """Every medium of the mixture has a batch size."""
    loader = subject.loaders.get(TRAIN)
    if loader is None:
        return
    sampler = loader.get('batch_sampler')
    if not sampler:
        yield Finding(f'{TRAIN}.batch_sampler', 'a mixture of media needs a MediaBatchSampler')
        return
    field, sizes = f'{TRAIN}.batch_sampler.batch_size', sampler.get('batch_size')
    if sizes is None:
        yield Finding(field, 'absent: how many items a batch has on every process')
    for media in sorted(
        {entry.get('media_type', 'video') for _, entry in entries(loader['dataset'])}
    ):
        size = sizes.get(media) if isinstance(sizes, Mapping) else sizes
        if sizes is not None and (size is None or size < 1):
            yield Finding(f'{field}.{media}' if isinstance(sizes, Mapping) else field,
                          f'the mixture holds {media}, its batch size is {size}')  # fmt: skip


def towers_of(model: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """(field, config) of the text towers of ``model``, wherever they are."""
    for key, part in model.items():
        if isinstance(part, Mapping) and key != 'data_preprocessor':
            kind = str(part.get('type', ''))
            if kind.startswith('FusionBert') or kind in ('LlamaText', 'MobileCLIPText'):
                yield f'model.{key}', part


def tower_limits(subject: Subject) -> tuple[int | None, int | None]:
    """(tokens that the text tower has embeddings for, positions of its table), None if unknown."""
    tower = getattr(subject.dry and subject.dry.model, 'text_encoder', None)
    config = getattr(tower, 'config', None)
    if config is not None:
        return config.vocab_size, getattr(config, 'max_position_embeddings', None)
    if hasattr(tower, 'embedding_layer'):
        table = tower.positional_embedding
        positions = None if table is None else table['pos_embed'].pos_embed.shape[2]
        return tower.embedding_layer.num_embeddings, positions
    return None, None


def tokenizer_of(config: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The tokenizer's config, if the model has one."""
    return (config['model'].get('data_preprocessor') or {}).get('tokenizer')


def text_lengths(subject: Subject) -> Iterator[Finding]:
    """No text is longer than the table of positions."""
    tokenizer = tokenizer_of(subject.config)
    positions = tower_limits(subject)[1]
    if tokenizer is None or positions is None:
        return
    lengths = {'model.data_preprocessor.tokenizer.max_length': tokenizer.get('max_length')}
    wishes = () if tokenizer['type'] in FIXED_CONTEXT else subject.loaders.items()
    for name, loader in wishes:
        dataset = loader['dataset']
        lengths[f'{name}.dataset.max_text_length'] = dataset.get('max_text_length')
        for key, entry in entries(dataset):
            field = f'{name}.dataset.table.{key}.max_text_length'
            lengths[field] = entry.get('max_text_length')
    for field, length in lengths.items():
        if length is not None and not 2 < length <= positions:
            yield Finding(field, f'{length} tokens; the text encoder has {positions} positions')


def vocabularies(subject: Subject) -> Iterator[Finding]:
    """The tokenizer's files are there, and it knows no more tokens than the text tower."""
    tokenizer = tokenizer_of(subject.config)
    if tokenizer is None:
        yield Finding('model.data_preprocessor.tokenizer', 'absent: captions need a tokenizer')
        return
    field, source = 'model.data_preprocessor.tokenizer.source', tokenizer.get('source')
    if is_packaged(str(source)):
        pass  # asked for below: what is missing is a fault, since installing it is one command
    elif tokenizer['type'] in WRITERS and source and len(Path(source).parts) > 2:
        # A name on the hub has at most one slash; with more it can only be a folder.
        if not Path(source).is_dir():
            yield Finding(field, f'the folder {source} does not exist', True)
    elif source and str(source).startswith(('.', '/')) and not Path(source).is_dir():
        yield Finding(field, f'the folder {source} does not exist', True)
    try:
        size = vocabulary_size(tokenizer)
    except Exception as error:  # transformers and open_clip raise anything
        yield Finding(field, one_line(error))
        return
    own = tower_limits(subject)[0]
    if None not in (size, own) and size > own:
        yield Finding(field, f'{size} tokens, the text encoder has embeddings for {own}')


def sound(subject: Subject) -> Iterator[Finding]:
    """Corpora with sound have a model that hears, and the other way round; gaps are decided on."""
    hears = subject.config['model'].get('audio_encoder') is not None
    for name, loader in subject.loaders.items():
        for key, entry in entries(loader['dataset']):
            field = f'{name}.dataset.table.{key}'
            if entry.get('media_type') in AUDIBLE and not hears:
                yield Finding(f'{field}.media_type', 'has sound, the model has no audio_encoder')
            if entry.get('media_type') == 'audio_video' and 'pad_missing_audio' not in entry:
                yield Finding(
                    f'{field}.pad_missing_audio',
                    'say what becomes of videos without an audio track: True pads, False refuses',
                )
    loader = subject.loaders.get(TRAIN)
    if loader is None:
        return
    heard = {entry.get('media_type') for _, entry in entries(loader['dataset'])} & set(AUDIBLE)
    weights = subject.config['model'].get('loss_weights') or {}
    lost = [name for name, weight in weights.items() if weight and name.startswith('a')]
    if lost and not heard:
        yield Finding(f'{TRAIN}.dataset.mix', f'no corpus has sound, which {", ".join(lost)} need')


def media_fit(subject: Subject) -> Iterator[Finding]:
    """Items of every loader have the frames and the sizes that the model is built for."""
    if subject.dry is None:
        return
    for name, shapes in subject.shapes.items():
        for shape in shapes:
            try:
                if name == TRAIN:
                    subject.dry.trace(shape, 2)
                else:
                    subject.dry.predict(shape)
            except Exception as error:  # a model of any kind may refuse in any way
                field = f'{name}.dataset.{"mix" if name == TRAIN else "sets"}'
                yield Finding(field, f'the model refuses {shape.media}: {one_line(error)}')


def best_set(subject: Subject) -> Iterator[Finding]:
    """The best checkpoint is chosen by a figure of a set that is validated."""
    hook = (subject.config.get('default_hooks') or {}).get('checkpoint') or {}
    wanted = hook.get('save_best')
    if wanted is None:
        return
    field = 'default_hooks.checkpoint.save_best'
    loader = subject.loaders.get('val_dataloader')
    if loader is None:
        yield Finding(field, f'{wanted!r}, but nothing is validated')
        return
    sets = chosen(loader['dataset'])
    if not is_metric_of(str(wanted), sets):
        yield Finding(field, f'{wanted!r} is of none of the sets validated: {", ".join(sets)}')


MEDIA_RULES = (
    names,
    annotations,
    batch_sizes,
    text_lengths,
    vocabularies,
    sound,
    media_fit,
    best_set,
)
