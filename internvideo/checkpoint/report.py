"""Report of a load, and reasons why one cannot be done."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

Shape = tuple[int, ...]
Shapes = Mapping[str, Shape]

_INDEX = re.compile(r'(?<=\.)\d+(?=\.|$)')
_MAX_GROUPS = 6
_MAX_SHAPES = 4


class CheckpointMismatchError(RuntimeError):
    """Checkpoint that does not fit the model, with the entries and the likely reason."""


@dataclass
class LoadReport:
    """Outcome of one load, in the names of the model unless said otherwise.

    Attributes:
        source: where the checkpoint came from.
        matched: entries that were loaded.
        reshaped: loaded after a change of size, with old and new shape (position tables, patch
            kernels, classifier rows).
        remapped: the same names with what was done, in words.
        new: entries of the model that this kind of checkpoint never holds: left as initialised.
        left_over: published names that this kind of model never holds: not used.
        missing: entries of the model that the checkpoint should hold and does not.
        unexpected: entries of the checkpoint that nothing explains.
        mismatched: entries of both whose shapes differ: (checkpoint, model).
        notes: what else was done to entries, such as a mean with those of another file.
    """

    source: str = ''
    matched: list[str] = field(default_factory=list)
    reshaped: dict[str, tuple[Shape, Shape]] = field(default_factory=dict)
    remapped: dict[str, str] = field(default_factory=dict)
    new: list[str] = field(default_factory=list)
    left_over: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    unexpected: list[str] = field(default_factory=list)
    mismatched: dict[str, tuple[Shape, Shape]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    @property
    def explained(self) -> bool:
        """Whether nothing is missing, unexpected or of another shape without a reason."""
        return not (self.missing or self.unexpected or self.mismatched)

    def note_reshaped(
        self, name: str, before: Iterable[int], after: Iterable[int], how: str
    ) -> None:
        """Record that the entry ``name`` was loaded in another shape, and ``how``."""
        self.reshaped[name] = (tuple(before), tuple(after))
        self.remapped[name] = how

    def compare(self, state: Shapes, model: Shapes) -> None:
        """Sort the names of a checkpoint and of a model into the lists, by shape and presence."""
        explained = {*self.new}
        self.matched = [name for name in model if state.get(name) == model[name]]
        self.missing = [name for name in model if name not in state and name not in explained]
        self.unexpected = [name for name in state if name not in model]
        self.mismatched = {
            name: (state[name], model[name])
            for name in model
            if name in state and state[name] != model[name]
        }

    def __str__(self) -> str:
        counts = [f'{len(self.matched)} matched']
        counts += [f'{len(names)} {title}' for title, names in self._lists() if names]
        lines = [f'loaded {self.source or "checkpoint"}: {", ".join(counts)}']
        lines += [
            f'  reshaped {name}: {shape_text(old)} -> {shape_text(new)} ({self.remapped[name]})'
            for name, (old, new) in self.reshaped.items()
        ]
        lines += [f'  {title}: {abbreviate(names)}' for title, names in self._lists()[1:] if names]
        lines += [f'  {note}' for note in self.notes]
        return '\n'.join(lines)

    def _lists(self) -> list[tuple[str, Iterable[str]]]:
        return [
            ('reshaped', self.reshaped),
            ('new', self.new),
            ('left over', self.left_over),
            ('missing', self.missing),
            ('unexpected', self.unexpected),
            ('of another shape', self.mismatched),
        ]

    def faults(self) -> list[str]:
        """One line for each kind of unexplained difference."""
        lines = []
        if self.mismatched:
            shown = [
                f'{name} {shape_text(old)} in the checkpoint, {shape_text(new)} in the model'
                for name, (old, new) in list(self.mismatched.items())[:_MAX_SHAPES]
            ]
            rest = list(self.mismatched)[_MAX_SHAPES:]
            more = f'; also {abbreviate(rest)}' if rest else ''
            lines.append(f'of another shape: {"; ".join(shown)}{more}')
        if self.missing:
            lines.append(f'missing in the checkpoint: {abbreviate(self.missing)}')
        if self.unexpected:
            lines.append(f'unexpected in the checkpoint: {abbreviate(self.unexpected)}')
        return lines


def abbreviate(names: Iterable[str]) -> str:
    """A short list of ``names``: indices written ``*``, long lists cut to common beginnings."""
    groups = Counter(_INDEX.sub('*', name) for name in names)
    if len(groups) > _MAX_GROUPS:
        folded: Counter[str] = Counter()
        for name, count in groups.items():
            start = '.'.join(name.split('.')[:2])
            folded[start if start == name else f'{start}.*'] += count
        groups = folded
    shown = [f'{name} (x{n})' if n > 1 else name for name, n in groups.most_common(_MAX_GROUPS)]
    more = len(groups) - len(shown)
    return ', '.join(shown) + (f' and {more} more' if more > 0 else '')


def layout_hints(report: LoadReport) -> list[str]:
    """Likely reason why a checkpoint does not fit that holds for every model: another layout."""
    if report.matched or report.mismatched:
        return []
    return [
        'no name is shared: the checkpoint is in another layout (published files need their '
        'adapter: tools/convert_checkpoint.py, or init_cfg=dict(type="Published", ...))'
    ]


def shape_text(shape: Shape) -> str:
    """``1x33x16`` of a shape."""
    return 'x'.join(map(str, shape)) or 'scalar'
