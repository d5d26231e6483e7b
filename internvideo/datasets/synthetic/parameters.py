"""Parameters of the generated world and contents of its parts."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field

import numpy as np

from .specs import ClipSpec
from .vocabulary import QUICK_MOTIONS, SEEN, UNSEEN, Vocabulary, check_motions

SPLITS = ('train', 'val', 'test')

VERSION = 2
"""Raised whenever the same parameters give other files than before."""


@dataclass(frozen=True)
class WorldParameters:
    """Parameters that decide the contents of all files.

    Raises:
        ValueError: a count, the side, the length or the rate is out of range; unknown motions.
    """

    seed: int = 0
    num_train: int = 600
    num_val: int = 80
    num_test: int = 160
    size: int = 64
    num_frames: int = 24
    fps: int = 12
    motions: tuple[str, ...] = QUICK_MOTIONS
    version: int = field(default=VERSION, init=False)

    def __post_init__(self) -> None:
        check_motions(self.motions)
        least = dict(seed=0, num_train=1, num_val=1, num_test=1, size=16, num_frames=8, fps=1)
        for name, bound in least.items():
            if getattr(self, name) < bound:
                raise ValueError(f'{name} must be at least {bound}, got {getattr(self, name)}')
        if self.size % 2:
            raise ValueError(f'size must be even for H.264, got {self.size}')

    def counts(self, fraction: int = 1) -> dict[str, int]:
        """Clips per split, divided by ``fraction``, at least one per class."""
        least = len(self.motions)
        counts = dict(train=self.num_train, val=self.num_val, test=self.num_test)
        if fraction == 1:
            return counts
        return {split: max(count // fraction, least) for split, count in counts.items()}

    def vocabulary(self, split: str) -> Vocabulary:
        """Appearances of ``split``, of which val and test share none with train."""
        vocabulary = SEEN if split == 'train' else UNSEEN
        return vocabulary.with_shapes_for(self.motions)

    def as_json(self) -> dict[str, object]:
        """Return the parameters as JSON reads them back."""
        return {**asdict(self), 'motions': list(self.motions)}


@dataclass(frozen=True)
class PartContents:
    """Media files (path below the part's folder -> what they show) and annotation texts.

    The suffix of a media path decides its format: ``.mp4``, ``.wav``, none for a frame folder.
    """

    media: Mapping[str, ClipSpec]
    annotations: Mapping[str, str]


def balanced_labels(rng: np.random.RandomState, count: int, num_classes: int) -> Iterator[int]:
    """Draw ``count`` labels in random order, balanced over the classes."""
    return (int(label) for label in rng.permutation(np.arange(count) % num_classes))
