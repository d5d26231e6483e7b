"""Keeps mmengine from importing large packages only to see whether they are there.

mmengine's optimizer and strategy modules import transformers, deepspeed and bitsandbytes at import
wherever they are installed (seconds, and a warning or two), to register optimizers and engines
that this project does not take from it.  Those probes, and no other import, find nothing.
"""

import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from types import FrameType, ModuleType

PROBED = frozenset({'bitsandbytes', 'deepspeed', 'transformers'})
PROBERS = frozenset({'mmengine.optim.optimizer.builder', 'mmengine._strategy.deepspeed'})


class _ProbeBlocker(MetaPathFinder):
    """Answers the probes with "not installed" and leaves every other import alone."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname in PROBED and _importer(sys._getframe(1)) in PROBERS:
            raise ModuleNotFoundError(f'{fullname} is not looked for by mmengine', name=fullname)
        return None


def _importer(frame: FrameType | None) -> str:
    """Module of the import statement above ``frame``, past the frames of importlib."""
    while frame is not None:
        name = frame.f_globals.get('__name__', '')
        if not name.startswith('importlib'):
            return name
        frame = frame.f_back
    return ''


def keep_probes_out() -> None:
    """Install the finder, once."""
    if not any(isinstance(finder, _ProbeBlocker) for finder in sys.meta_path):
        sys.meta_path.insert(0, _ProbeBlocker())
