"""What import contracts cannot say: names of families, sizes and docstrings of rooms."""

import ast
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from tests.paths import ROOT

PACKAGE = ROOT / 'internvideo'
MODULES = {path.relative_to(PACKAGE).as_posix(): path for path in sorted(PACKAGE.rglob('*.py'))}
TREES = {name: ast.parse(path.read_text(encoding='utf-8')) for name, path in MODULES.items()}
FAMILIES = re.compile(
    r'internvideo_?(2|next)|stage_?2|video_?mae|internvl|mobile_?clip|llama|(?<![a-z])bert|'
    r'(?-i:BEATs|\bbeats[_.]|CLIP(?!S?_|S\b)|\bUMT)',
    re.IGNORECASE,
)
ENVIRONMENT = re.compile(r'INTERNVIDEO2_[A-Z]+_PATH')
THEIR_ROOMS = (
    *('models/backbones/', 'models/text/', 'models/audio/', 'models/tasks/'),
    *('checkpoint/adapters/', 'verification/runners/'),
    # Rules of other libraries, each by the name that its library gives it.
    'datasets/transforms/peer_sampling.py',
)
MAX_API_LINES = 2000


def is_docstring(node: ast.AST) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def words(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Identifiers and strings of code, with their lines; docstrings are none of it."""
    for node in ast.iter_child_nodes(tree):
        if is_docstring(node):
            continue
        line = getattr(node, 'lineno', 0)
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield line, node.value
        for field in ('id', 'attr', 'name', 'arg', 'asname', 'module'):
            if isinstance(word := getattr(node, field, None), str):
                yield line, word
        yield from words(node)


def test_names_of_families_stay_in_their_rooms():
    found = [
        f'{name}:{line}: {word[:80]}'
        for name, tree in TREES.items()
        if not name.startswith(THEIR_ROOMS)
        for line, word in [(0, name), *words(tree)]
        if FAMILIES.search(ENVIRONMENT.sub('', word))
    ]
    assert not found, '\n'.join(found)


def test_the_search_for_names_finds_them():
    code = '"""Of CLIP."""\nclass CLIPTower:\n    beats_file = "stage2/x"\nnum_clips = CLIP_KEYS'
    found = [word for _, word in words(ast.parse(code)) if FAMILIES.search(word)]
    assert found == ['CLIPTower', 'beats_file', 'stage2/x']


def test_each_package_is_described_in_one_line():
    packages = {name: tree for name, tree in TREES.items() if name.endswith('__init__.py')}
    folders = {Path(name).parent.as_posix() for name in MODULES}
    assert folders == {Path(name).parent.as_posix() for name in packages}
    assert not [
        name
        for name, tree in packages.items()
        if not (ast.get_docstring(tree) or '').endswith('.') or '\n' in ast.get_docstring(tree)
    ]


def test_apis_holds_inferencers_alone():
    lines = {n: len(p.read_text().splitlines()) for n, p in MODULES.items() if n[:5] == 'apis/'}
    assert sum(lines.values()) < MAX_API_LINES


def test_no_two_classes_have_one_name():
    places = defaultdict(set)
    for name, tree in TREES.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef):
                places[node.name].add(f'{name}:{node.lineno}')
    assert not {kind: where for kind, where in places.items() if len(where) > 1}


def test_nothing_that_is_shipped_imports_the_tests():
    found = {
        name
        for name, tree in TREES.items()
        for node in ast.walk(tree)
        for module in _imported(node)
        if module.partition('.')[0] in ('tests', 'tools', 'projects', 'benchmarks')
    }
    assert not found


def _imported(node: ast.AST) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    return [node.module] if isinstance(node, ast.ImportFrom) and not node.level else []
