"""Base of the checkpoint adapters: what each declares, and what the loading code asks for."""

from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable, Mapping
from enum import StrEnum
from typing import Any, ClassVar

from torch import Tensor, nn

from internvideo.checkpoint.report import (
    CheckpointMismatchError,
    LoadReport,
    Shapes,
    abbreviate,
    layout_hints,
)
from internvideo.checkpoint.tensor_conversion import State, strip_prefix
from internvideo.registry import CHECKPOINT_ADAPTERS


class Direction(StrEnum):
    """Direction in which an adapter may convert a checkpoint, with the user's word as value."""

    FIT = '--to internvideo --config FILE'
    RENAME = '--to internvideo'
    PUBLISH = '--to published'


class DirectionError(ValueError):
    """Direction that an adapter does not have, with those that it has."""


class NameTable:
    """Beginnings of names in the published layout and in ours, for both directions.

    Args:
        pairs: (published, ours).  The longest beginning that fits is exchanged, among equal ones
            the first; a name that none fits stays.
    """

    def __init__(self, *pairs: tuple[str, str]) -> None:
        # Python's sort is stable, so that the first of equal beginnings stays first.
        self._published = sorted(pairs, key=lambda pair: -len(pair[0]))
        self._ours = sorted(((b, a) for a, b in pairs), key=lambda pair: -len(pair[0]))

    def to_ours(self, name: str) -> str:
        """Our name of a published entry."""
        return _exchange(name, self._published)

    def to_published(self, name: str) -> str:
        """Published name of an entry of ours."""
        return _exchange(name, self._ours)


def _exchange(name: str, pairs: Iterable[tuple[str, str]]) -> str:
    for old, new in pairs:
        if name.startswith(old):
            return f'{new}{name[len(old) :]}'
    return name


class CheckpointAdapter(ABC):
    """Turns checkpoints of one published layout into states of our models, and back.

    A subclass registers itself in ``CHECKPOINT_ADAPTERS``, implements :meth:`to_ours`, and
    declares the rest.

    Attributes:
        directions: what the adapter can do.  ``FIT``: entries in the names and sizes of a model,
            which every adapter can; ``RENAME``: names alone, without a model; ``PUBLISH``: the
            way back.
        names: beginnings of names in both layouts, for ``RENAME`` and ``PUBLISH``.
        prefixes: what may stand in front of every name of a file.
        parts: beginnings of names (prefixes removed) that every published file has.
        own_marks, published_marks: beginnings of names that only files of ours, or only
            published ones, have; they tell a file that is converted already.
        model_parts: children that a model must have to be filled.
        shares_names: whether a published file may have names in common with our model, so that
            common names do not make it a file of ours.
        reads_settings: whether :meth:`check_settings` wants the settings beside the weights.
        new_part_hint: what a user can do about parts that the options leave new.
        new_parts: children of the model that a file may lack.
    """

    directions: ClassVar[frozenset[Direction]] = frozenset(Direction)
    names: ClassVar[NameTable] = NameTable()
    prefixes: ClassVar[tuple[str, ...]] = ()
    parts: ClassVar[tuple[str, ...]] = ()
    own_marks: ClassVar[tuple[str, ...]] = ()
    published_marks: ClassVar[tuple[str, ...]] = ()
    model_parts: ClassVar[tuple[str, ...]] = ()
    shares_names: ClassVar[bool] = False
    reads_settings: ClassVar[bool] = False
    new_part_hint: ClassVar[str] = ''
    new_parts: tuple[str, ...] = ()

    @property
    def layout(self) -> str:
        """The name that the adapter is registered by."""
        known = CHECKPOINT_ADAPTERS.module_dict.items()
        return next((name for name, kind in known if kind is type(self)), type(self).__name__)

    # --- directions -----------------------------------------------------------------------------

    @abstractmethod
    def to_ours(
        self, published: Mapping[str, Tensor], model: nn.Module, report: LoadReport | None = None
    ) -> State:
        """Convert entries to the names and sizes of ``model``.

        Args:
            published: entries of a published file; kept as they are.
            model: gives names, shapes and the grid of its position tables.
            report: takes down what was reshaped, what is new and what is left over.

        Returns:
            Entries to load; those that the model lacks for no known reason are among them.

        Raises:
            ValueError: options and file do not go together.
        """

    def rename(self, published: Mapping[str, Tensor]) -> State:
        """Convert published entries to our names without a model, nothing resized.

        Raises:
            DirectionError: this takes a model.
            ValueError: two entries would share a name.
        """
        self.check_direction(Direction.RENAME)
        return self._rename(published)

    def to_published(self, ours: Mapping[str, Tensor]) -> State:
        """Convert the entries of a state of ours to their published names.

        Raises:
            DirectionError: there is no way back.
            ValueError: two entries would share a name.
        """
        self.check_direction(Direction.PUBLISH)
        return self._to_published(ours)

    def _rename(self, published: Mapping[str, Tensor]) -> State:
        return renamed(published, self.names.to_ours)

    def _to_published(self, ours: Mapping[str, Tensor]) -> State:
        return renamed(ours, self.names.to_published)

    def check_direction(self, direction: Direction) -> None:
        """Raise DirectionError, which says what there is, if the adapter lacks ``direction``."""
        if direction not in self.directions:
            offered = ', '.join(f'`{d}`' for d in Direction if d in self.directions)
            raise DirectionError(
                f'adapter {self.layout} does not convert `{direction}`; what it does: {offered}'
            )

    # --- files and models that it is for --------------------------------------------------------

    def lacks(self, published: Collection[str]) -> list[str]:
        """Name the parts of this layout that none of the ``published`` names belongs to."""
        inner = [strip_prefix(name, self.prefixes) for name in published]
        return [part for part in self.parts if not any(n.startswith(part) for n in inner)]

    def is_ours(self, names: Collection[str]) -> bool:
        """Whether these are names of our models, which no published file has."""
        return any(name.startswith(self.own_marks) for name in names)

    def is_published(self, names: Collection[str]) -> bool:
        """Whether these are names of a published file, which none of our models has."""
        return any(name.startswith(self.published_marks) for name in names)

    def check_model(self, model: nn.Module) -> None:
        """Raise ValueError if ``model`` has not the parts that this layout fills."""
        children = {name for name, _ in model.named_children()}
        if lost := [part for part in self.model_parts if part not in children]:
            raise ValueError(
                f'{type(model).__name__} has no {", ".join(lost)}, which checkpoints of the '
                f'layout {self.layout} fill'
            )

    def check_settings(self, settings: Mapping[str, Any], model: nn.Module) -> list[str]:
        """List what differs between the settings of a file and the model, which shapes hide."""
        return []

    def hints(self, theirs: Shapes, ours: Shapes, report: LoadReport) -> list[str]:
        """Give likely reasons why a checkpoint does not fit, most telling first."""
        return layout_hints(report)

    # --- whole models ---------------------------------------------------------------------------

    @property
    def gives_whole_model(self) -> bool:
        """Whether, by its options, a model is complete after loading, not at its start."""
        return True

    @property
    def further_files(self) -> tuple[str, ...]:
        """Sources that are read besides the checkpoint."""
        return ()

    @classmethod
    def whole_model_options(cls, options: Mapping[str, Any]) -> dict[str, Any]:
        """Options for a whole model's file, made of those for what training starts from."""
        return {}

    def adapts(self, names: Collection[str], own: Collection[str]) -> bool:
        """Whether a file given for a whole model of names ``own`` is in the published layout."""
        return names != own if self.shares_names else own.isdisjoint(names)

    def complete(
        self,
        given: Mapping[str, Tensor],
        model: nn.Module,
        report: LoadReport,
        init: Mapping[str, Any],
        *,
        strict: bool = True,
        trusted_pickle: bool = False,
    ) -> State:
        """Convert a published file that is given for a whole model.

        Args:
            given: entries of the file.
            model, report: as for :meth:`to_ours`.
            init: ``checkpoint`` and the other fields of the model's ``init_cfg``.
            strict: nothing may stay as it was initialised.
            trusted_pickle: accept further files with arbitrary Python objects.

        Raises:
            CheckpointMismatchError: the options leave a part of the model new.
        """
        state = self.to_ours(given, model, report)
        # A file that shares no name at all is of another layout, which loading itself will say.
        if strict and report.new and not model.state_dict().keys().isdisjoint(state):
            options = {key: value for key, value in init.items() if key != 'checkpoint'}
            raise CheckpointMismatchError(
                f'checkpoint {report.source} brings no {abbreviate(report.new)} by the options '
                f'of model.init_cfg ({options or "none"}){self.new_part_hint}'
            )
        return state


def renamed(state: Mapping[str, Tensor], rename: Any) -> State:
    """Entries under new names, in their order.

    Raises:
        ValueError: two entries would share a name.
    """
    found = {rename(name): tensor for name, tensor in state.items()}
    if len(found) < len(state):
        owners: dict[str, str] = {}
        for name in state:
            if (other := owners.setdefault(rename(name), name)) != name:
                raise ValueError(f'entries {other} and {name} would both become {rename(name)}')
    return found
