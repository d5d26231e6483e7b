"""What a load did, and why one cannot be done."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

Shape = tuple[int, ...]
Shapes = Mapping[str, Shape]

_INDEX = re.compile(r'(?<=\.)\d+(?=\.|$)')
_BLOCK = re.compile(r'(?:^|\.)blocks\.(\d+)\.')
_MAX_GROUPS = 6
_MAX_SHAPES = 4


class CheckpointMismatchError(RuntimeError):
    """A checkpoint that does not fit the model; names the entries and the likely reason."""


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

    @property
    def explained(self) -> bool:
        """Whether nothing is missing, unexpected or of another shape without a reason."""
        return not (self.missing or self.unexpected or self.mismatched)

    def note_reshaped(
        self, name: str, before: Iterable[int], after: Iterable[int], how: str
    ) -> None:
        """Record that the entry ``name`` was loaded in another shape; ``how`` says why."""
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
            f'  reshaped {name}: {_shape(old)} -> {_shape(new)} ({self.remapped[name]})'
            for name, (old, new) in self.reshaped.items()
        ]
        lines += [f'  {title}: {abbreviate(names)}' for title, names in self._lists()[1:] if names]
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
                f'{name} {_shape(old)} in the checkpoint, {_shape(new)} in the model'
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


def mismatch_hints(state: Shapes, model: Shapes, report: LoadReport) -> list[str]:
    """Likely reasons why ``state`` does not fit ``model``, most telling first."""
    if not _trunk(state) and _trunk(model):
        return [
            'the checkpoint holds no blocks of this encoder family, so it has another layout; its '
            f'entries are {abbreviate(state)}'
        ]
    if not report.matched and not report.mismatched:
        return [
            'no name is shared: the checkpoint is in another layout (published files need their '
            'adapter: tools/convert_checkpoint.py, or init_cfg=dict(type="Published", ...))'
        ]
    hints = [_architecture_hint(state, model)] if _trunk(state) != _trunk(model) else []
    hints += [_tables_hint(state, model), _kernel_hint(report)]
    if not any(hints):
        hints += [_sizes_hint(report), _classes_hint(report)]
    return [hint for hint in hints if hint]


def _trunk(shapes: Shapes) -> tuple[int | None, int] | None:
    """(width, depth) of the transformer that ``shapes`` describe; None without blocks."""
    blocks = [int(found[1]) for name in shapes if (found := _BLOCK.search(name))]
    if not blocks:
        return None
    norms = [s for name, s in shapes.items() if name.endswith('blocks.0.norm1.weight')]
    return (norms[0][-1] if norms else None), max(blocks) + 1


def _architecture_hint(state: Shapes, model: Shapes) -> str:
    told = ', '.join(
        f'{whose} has embed_dim={trunk[0]}, depth={trunk[1]}' if trunk else f'{whose} has no blocks'
        for whose, trunk in (('the checkpoint', _trunk(state)), ('the model', _trunk(model)))
    )
    return f'another architecture: {told}'


def _tables_hint(state: Shapes, model: Shapes) -> str:
    separate = [any('pos_embed_spatial' in name for name in names) for names in (state, model)]
    if separate[0] == separate[1]:
        return ''
    kinds = ['separate tables' if is_separate else 'a joint table' for is_separate in separate]
    return (
        f'the checkpoint has {kinds[0]} of positions, the model {kinds[1]}: set '
        f'sep_pos_embed={separate[0]}'
    )


def _kernel_hint(report: LoadReport) -> str:
    for name, (old, new) in report.mismatched.items():
        if name.endswith('patch_embed.proj.weight') and old[2:] != new[2:]:
            return (
                f'another patch: (tubelet_size, patch_size, patch_size) is {_shape(old[2:])} in '
                f'the checkpoint and {_shape(new[2:])} in the model'
            )
    return ''


def _sizes_hint(report: LoadReport) -> str:
    tables = [name for name in report.mismatched if 'pos_embed' in name]
    if not tables:
        return ''
    old, new = report.mismatched[tables[0]]
    return (
        f'another frame count or resolution: the position table has {old[1]} rows in the '
        f'checkpoint and {new[1]} in the model; set num_frames and img_size as they were, or '
        'load through an adapter that may interpolate'
    )


def _classes_hint(report: LoadReport) -> str:
    for name, (old, new) in report.mismatched.items():
        if name.endswith('head.weight') and old[0] != new[0]:
            return (
                f'another class count: {old[0]} in the checkpoint, {new[0]} in the model; set '
                "num_classes, or for a published checkpoint head='remap' (Kinetics-710 to 400, "
                "600 or 700) or head='reset' (start anew)"
            )
    return ''


def _shape(shape: Shape) -> str:
    return 'x'.join(map(str, shape)) or 'scalar'
