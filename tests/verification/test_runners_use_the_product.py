"""Runners prove the code that ships: what they import is reached from outside verification too."""

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from tests.paths import ROOT

PACKAGE = ROOT / 'internvideo'
RUNNERS = PACKAGE / 'verification' / 'runners'
ENTRY_FOLDERS = ('tools', 'projects', 'benchmarks')
ENTRY_ROOMS = ('apis', 'cli', 'rehearsal', 'engine', 'hub', 'search')


class Module:
    """Definitions, imports and module-level code of one file."""

    def __init__(self, path: Path) -> None:
        self.tree = ast.parse(path.read_text(encoding='utf-8'))
        parts = path.relative_to(ROOT).with_suffix('').parts
        self.is_package = parts[-1] == '__init__'
        self.name = '.'.join(parts[:-1] if self.is_package else parts)
        self.imports = {
            alias.asname or alias.name.split('.')[0]: target
            for node in ast.walk(self.tree)
            for alias, target in self._targets(node)
        }
        self.definitions = {name: node for node in self.tree.body for name in _defined_names(node)}

    def _targets(self, node: ast.AST) -> Iterator[tuple[ast.alias, str]]:
        if isinstance(node, ast.Import):
            yield from ((alias, (alias.asname and alias.name) or '') for alias in node.names)
        if isinstance(node, ast.ImportFrom):
            base = node.module or ''
            if node.level:
                up = node.level - self.is_package
                package = self.name.rsplit('.', up)[0] if up else self.name
                base = f'{package}.{base}'.rstrip('.')
            yield from ((alias, f'{base}.{alias.name}') for alias in node.names)

    def used_by(self, node: ast.AST) -> Iterator[str]:
        """Dotted names of what ``node`` mentions: own definitions, imports, parts of modules."""
        for inner in ast.walk(node):
            if isinstance(inner, ast.Name):
                if inner.id in self.definitions:
                    yield f'{self.name}.{inner.id}'
                elif inner.id in self.imports:
                    yield self.imports[inner.id]
            elif isinstance(inner, ast.Attribute) and isinstance(inner.value, ast.Name):
                yield f'{self.imports.get(inner.value.id, "")}.{inner.attr}'
            elif isinstance(inner, ast.ImportFrom):  # within a function
                yield from (target for _, target in self._targets(inner))


def _defined_names(node: ast.stmt) -> list[str]:
    if isinstance(node, ast.FunctionDef | ast.ClassDef):
        return [node.name]
    targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, 'target', None)]
    return [target.id for target in targets if isinstance(target, ast.Name)]


def is_registered(node: ast.AST) -> bool:
    """Whether a config can name it."""
    return 'register_module' in ''.join(map(ast.dump, getattr(node, 'decorator_list', [])))


@cache
def modules() -> dict[str, Module]:
    found = [Module(path) for path in sorted(PACKAGE.rglob('*.py'))]
    return {module.name: module for module in found}


def product() -> dict[str, Module]:
    return {
        name: module
        for name, module in modules().items()
        if not name.startswith('internvideo.verification')
    }


def resolve(name: str, known: dict[str, Module]) -> tuple[str, str] | None:
    """Module and definition of a dotted name, past the imports of packages."""
    for _ in range(5):
        module, _, part = name.rpartition('.')
        if module not in known:
            return None
        if part in known[module].definitions:
            return module, part
        if part not in known[module].imports:
            return None
        name = known[module].imports[part]
    return None


@cache
def reached() -> set[tuple[str, str]]:
    """Definitions that the command lines, upper rooms, or anything registered lead to."""
    known = product()
    waiting = [
        used
        for folder in ENTRY_FOLDERS
        for path in (ROOT / folder).rglob('*.py')
        for module in [Module(path)]
        for used in module.used_by(module.tree)
    ]
    for name, module in known.items():
        whole = name.split('.')[1:2] and name.split('.')[1] in ENTRY_ROOMS
        for part, node in module.definitions.items():
            if whole or is_registered(node):
                waiting.append(f'{name}.{part}')
    found: set[tuple[str, str]] = set()
    while waiting:
        place = resolve(waiting.pop(), known)
        if place is None or place in found:
            continue
        found.add(place)
        module = known[place[0]]
        waiting += module.used_by(module.definitions[place[1]])
    return found


def imported_by_runners() -> dict[str, str]:
    """Dotted name of each definition that runners mention, and the runner's file."""
    known = product()
    return {
        '.'.join(place): str(path.relative_to(RUNNERS))
        for path in sorted(RUNNERS.rglob('*.py'))
        for module in [Module(path)]
        for used in module.used_by(module.tree)
        if (place := resolve(used, known))
    }


def test_what_runners_import_ships():
    used, found = imported_by_runners(), {'.'.join(place) for place in reached()}
    assert len(used) > 80  # the search itself works
    only_verified = {name: file for name, file in used.items() if name not in found}
    assert only_verified == {}
