"""Modules that a config imports, so that its own parts are registered in any process."""

import importlib.util
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from internvideo.structures.rehearsal import Finding

from .findings import one_line


def import_custom_parts(config: Mapping[str, Any], path: str | Path | None = None) -> list[Finding]:
    """Import ``custom_imports`` of a config in this process and report what fails.

    Args:
        config: the config.
        path: its file; modules are also looked for beside it and in the folders above it, as they
            are when training is started there.
    """
    wanted = config.get('custom_imports') or {}
    names = wanted.get('imports') or () if isinstance(wanted, Mapping) else ()
    may_fail = isinstance(wanted, Mapping) and wanted.get('allow_failed_imports', False)
    findings = []
    for name in [names] if isinstance(names, str) else names:
        try:
            _import(str(name), path)
        except Exception as error:  # a module is code: it may raise anything
            if not (may_fail and isinstance(error, ImportError)):
                findings.append(Finding('custom_imports', f'{name}: {one_line(error)}'))
    return findings


def _import(name: str, path: str | Path | None) -> None:
    top = name.split('.')[0]
    if path is not None and top not in sys.modules and importlib.util.find_spec(top) is None:
        for folder in Path(path).resolve().parents:
            if (folder / f'{top}.py').is_file() or (folder / top).is_dir():
                # At the end: a folder there may have the name of an installed package.
                sys.path.append(str(folder))
                # The finders remember that the name was not found.
                importlib.invalidate_caches()
                break
    importlib.import_module(name)
