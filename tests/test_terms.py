"""Names and docstrings of the package use the field's terms and plain English."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.paths import ROOT

PACKAGE = ROOT / 'internvideo'
ROOMS = (
    *('apis', 'checkpoint', 'cli', 'datasets', 'engine', 'evaluation', 'fileio', 'hub', 'models'),
    *('ops', 'rehearsal', 'search', 'structures', 'verification', 'visualization', '.'),
)

TERMS = {
    'modality or sample': {'medium', 'mediums'},
    'audio': {'sound', 'sounds', 'sounding', 'hear', 'hears', 'heard', 'hearing'},
    'metrics': {'figures'},
    'patches': {'squares'},
    'ground truth': {'truth', 'truths'},
    'encoder': {'trunk', 'trunks'},
    'a plain name': {
        *{'twin', 'twins', 'surgery', 'subject', 'subjects', 'plan', 'plans'},
        *{'crash', 'lab', 'toy', 'toys', 'dry'},
    },
}
INSTEAD = {word: term for term, words in TERMS.items() for word in words}
# Names that are keys of files or fields of configs.
ALLOWED = {
    ('encoded_sets', 'figures'): 'key of a variant in the reports of evaluation sets',
}
# A summary begins with a verb or a noun, not with a question or a pronoun.
OPENERS = frozenset(
    [
        'what',
        'whatever',
        'how',
        'when',
        'where',
        'which',
        'who',
        'why',
        'from',
        'tells',
        'says',
        'everything',
        'nothing',
        'nobody',
        'all',
        'both',
        'each',
        'that',
        'this',
        'these',
        'those',
        'it',
        'not',
        'no',
        'so',
        'once',
        'as',
        'if',
        'only',
    ]
)


def words_of(name: str) -> list[str]:
    """Lower-case words of a snake- or camel-case name."""
    return [word.lower() for word in re.findall(r'[A-Z]+(?![a-z])|[A-Z]?[a-z]+', name)]


def names_of(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Line and name of each class, function, argument and assignment."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            yield node.lineno, node.name
        elif isinstance(node, ast.arg):
            yield node.lineno, node.arg
        elif isinstance(node, ast.Name | ast.Attribute) and isinstance(node.ctx, ast.Store):
            yield node.lineno, node.id if isinstance(node, ast.Name) else node.attr


def summaries_of(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Line and first line of each docstring."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            docstring = ast.get_docstring(node)
            if docstring:
                yield node.body[0].lineno, docstring.splitlines()[0]


def terms_in(text: str) -> list[str]:
    """Complaints about the words of a name or a sentence."""
    words = words_of(re.sub(r'ground[ _-]?truth', '', text, flags=re.IGNORECASE))
    return [f'{word!r}: say {INSTEAD[word]}' for word in words if word in INSTEAD]


def faults_of(source: str, stem: str = '') -> list[str]:
    """Faults of a module, with their lines."""
    tree = ast.parse(source)
    faults = [f'1: module {stem}: {fault}' for fault in terms_in(stem)]
    for line, name in names_of(tree):
        if (stem, name) not in ALLOWED:
            faults += [f'{line}: name {name}: {fault}' for fault in terms_in(name)]
    for line, summary in summaries_of(tree):
        prose = re.sub(r'``.*?``', '', summary)
        faults += [f'{line}: docstring {summary!r}: {fault}' for fault in terms_in(prose)]
        opener = re.match(r'[A-Za-z]*', summary).group().lower()
        if opener in OPENERS:
            faults.append(f'{line}: docstring {summary!r}: begin with a verb or a noun')
        if ';' in prose:
            faults.append(f'{line}: docstring {summary!r}: one clause')
    return faults


def modules(room: str) -> list[Path]:
    """Modules of a room, or of the package's own folder (``.``)."""
    return sorted((PACKAGE / room).glob('*.py' if room == '.' else '**/*.py'))


@pytest.mark.parametrize('room', ROOMS)
def test_a_room_uses_the_terms(room):
    faults = [
        f'{path.relative_to(ROOT)}:{fault}'
        for path in modules(room)
        for fault in faults_of(path.read_text(encoding='utf-8'), path.stem)
    ]
    assert not faults, '\n'.join(faults)


def test_every_room_is_read():
    folders = {path.parent.name for path in PACKAGE.glob('*/__init__.py')}
    assert folders | {'.'} == set(ROOMS)


@pytest.mark.parametrize(
    ('source', 'fault'),
    [
        ('class SoundTrack: pass', "name SoundTrack: 'sound': say audio"),
        ('def f(medium): pass', "name medium: 'medium': say modality or sample"),
        ('shares_medium = 1', "name shares_medium: 'medium'"),
        ('self.trunk = 1', "name trunk: 'trunk': say encoder"),
        ('for truth in (): pass', "name truth: 'truth': say ground truth"),
        ('"""Figures of a run."""', "'figures': say metrics"),
        ('"""How a run ends."""', 'begin with a verb or a noun'),
        ('"""Ends a run; the file stays."""', 'one clause'),
    ],
)
def test_faults_are_found(source, fault):
    (found,) = faults_of(source)
    assert fault in found


@pytest.mark.parametrize(
    'source',
    [
        'ground_truth = 1',
        'class GroundTruth: pass',
        'num_soundless_frames = 1',
        'square = figure = labels = 1',
        '"""Moving average of weights."""',
        '"""Compare with the ground truth in ``truth``."""',
    ],
)
def test_plain_names_pass(source):
    assert not faults_of(source)


def test_module_names_count():
    assert faults_of('', 'twin') == ["1: module twin: 'twin': say a plain name"]
