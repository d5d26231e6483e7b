"""Teacher features kept in files, so that training does not pay for the teachers every epoch.

A folder of targets holds ``manifest.json`` and, for each part of the (crop, row) pairs of a data
set, one safetensors file that is written whole or not at all.  A part is found by its number
alone: any number of jobs may write one folder, and a job that was stopped goes on where it was.
"""

import hashlib
import json
import os
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from internvideo.fileio.atomic import atomic_path, atomic_write
from internvideo.models.masks.token_masks import visible_indices
from internvideo.registry import MODELS
from internvideo.structures import VideoDataSample

from .masked_alignment import MaskedAlignment
from .targets import TargetFacts, Targets

MANIFEST = 'manifest.json'
FINGERPRINT_POINTS = 64
# Grey levels are at least 1/58.4 apart after normalisation; devices differ by far less.
FINGERPRINT_TOLERANCE = 5e-3
MAX_OPEN_FILES = 256
TOKENS = ('visible', 'all')


def fingerprint(video: Tensor) -> Tensor:
    """(B, 64) values of normalised clips (B, C, F, H, W) at fixed places: tells crops apart."""
    flat = video.flatten(1)
    places = torch.linspace(0, flat.shape[1] - 1, FINGERPRINT_POINTS, device=video.device).long()
    return flat[:, places].float()


def path_key(path: str) -> int:
    """A 63-bit number that stands for a sample's path."""
    # Without its lowest bit the number fits a tensor of signed 64-bit integers.
    return int.from_bytes(hashlib.blake2b(str(path).encode(), digest_size=8).digest(), 'big') >> 1


@dataclass(frozen=True)
class TargetManifest:
    """Settings that a folder of targets was made with.

    Attributes:
        facts: sizes of the targets.
        grid: patch grid of the student.
        tokens: ``'visible'``: the features of one drawn mask's visible tokens, and the mask;
            ``'all'``: those of all tokens and the attention that masks are drawn from.
        num_crops: crops kept of each video; epoch ``e`` trains on crop ``e % num_crops``.
        num_rows: rows of the annotation list.
        part_size: (crop, row) pairs a part file holds.
        seed: seed of the crops.
        norms: normalisation of the CLIP and MAE features.
        digest: fingerprint of the teachers' weights.
        dtype: type the features are kept in.
    """

    facts: TargetFacts
    grid: tuple[int, int, int]
    tokens: str
    num_crops: int
    num_rows: int
    part_size: int
    seed: int
    norms: tuple[str, str]
    digest: str
    dtype: str

    @property
    def num_parts(self) -> int:
        """Part files of the whole folder."""
        return -(-self.num_crops * self.num_rows // self.part_size)

    def part_items(self, part: int) -> list[tuple[int, int]]:
        """(crop, row) pairs of a part."""
        stop = min((part + 1) * self.part_size, self.num_crops * self.num_rows)
        return [divmod(item, self.num_rows) for item in range(part * self.part_size, stop)]

    def write(self, root: str | os.PathLike) -> None:
        """Write the manifest into ``root``.

        Raises:
            ValueError: the folder holds targets that were made otherwise; says in what.
        """
        path, text = Path(root) / MANIFEST, json.dumps(asdict(self), indent=1)
        if not path.exists():
            atomic_write(path, text)
        # Read even when just written: another job may have been first.
        found = TargetManifest.read(root)
        differing = [
            f'{name} {getattr(found, name)} instead of {getattr(self, name)}'
            for name in asdict(self)
            if getattr(found, name) != getattr(self, name)
        ]
        if differing:
            raise ValueError(f'{path} holds targets made with {"; ".join(differing)}')

    @classmethod
    def read(cls, root: str | os.PathLike) -> 'TargetManifest':
        """Read the manifest of the folder ``root``.

        Raises:
            FileNotFoundError: there is none.
            ValueError: it is damaged.
        """
        path = Path(root) / MANIFEST
        if not path.is_file():
            raise FileNotFoundError(
                f'no precomputed targets in {root}: {path} does not exist; '
                'make them with tools/precompute_targets.py'
            )
        try:
            fields = json.loads(path.read_text(encoding='utf-8'))
            fields |= dict(grid=tuple(fields['grid']), norms=tuple(fields['norms']))
            return cls(**fields | dict(facts=TargetFacts(*fields['facts'])))
        except (ValueError, TypeError, KeyError) as error:
            raise ValueError(f'{path} is damaged: {error!r}') from error


def part_path(root: str | os.PathLike, part: int) -> Path:
    """File of a part."""
    return Path(root) / f'part-{part:06d}.safetensors'


@torch.no_grad()
def compute_entries(
    model: MaskedAlignment,
    video: Tensor,
    data_samples: Sequence[VideoDataSample],
    tokens: str = 'visible',
    dtype: torch.dtype = torch.float16,
) -> dict[str, Tensor]:
    """Run the teachers of ``model`` on clips (B, C, F, H, W): tensors as a part file holds them.

    Args:
        model: student, masker and teachers; only its teachers run.
        video: normalised clips.
        data_samples: one per clip; their paths are the keys.
        tokens: see :class:`TargetManifest`.
        dtype: type of the features.
    """
    masked = tokens == 'visible'
    targets = model.targets(video, data_samples, attn=model.targets.has_attention)
    num_tokens = targets.clip_middle[0].shape[1]
    mask = torch.zeros(len(video), num_tokens, dtype=torch.bool, device=video.device)
    if masked:
        mask = model.draw_mask(targets, video)
    visible = visible_indices(mask, model.num_visible(targets) if masked else num_tokens)
    kept = targets.pick(visible, model.neck.clip_norm, model.neck.mae_norm)
    entries = {
        name: torch.stack(layers, dim=1).to(dtype)
        for name, layers in kept.branches().items()
        if layers
    }
    if masked:
        entries['mask'] = mask[:, 1:]
    elif targets.attn is not None:
        entries['attn'] = targets.attn.float()
    entries['fingerprint'] = fingerprint(video)
    entries['key'] = torch.tensor([path_key(sample.path) for sample in data_samples])
    return {name: tensor.cpu() for name, tensor in entries.items()}


def write_part(root: str | os.PathLike, part: int, batches: Sequence[dict[str, Tensor]]) -> Path:
    """Write the packed batches of a part, whole or not at all."""
    from safetensors.torch import save_file

    tensors = {
        name: torch.cat([batch[name] for batch in batches]).contiguous() for name in batches[0]
    }
    path = part_path(root, part)
    with atomic_path(path) as temporary:
        save_file(tensors, temporary)
    return path


@MODELS.register_module()
class PrecomputedTargets:
    """Targets read from a folder that ``tools/precompute_targets.py`` made.

    The entry of a clip is found by the path of its sample and a fingerprint of its pixels, so a
    clip that was cropped otherwise is an error, never a wrong target.  The training sampler
    has to repeat the crops: ``dict(type='EpochSampler', augment_period=num_crops)``.

    Args:
        root: the folder.

    Raises:
        FileNotFoundError: no manifest, or parts are missing.
    """

    def __init__(self, root: str | os.PathLike) -> None:
        self.root = Path(root)
        self.manifest = TargetManifest.read(root)
        self.facts = self.manifest.facts
        self.digest = self.manifest.digest
        self.brings_mask = self.manifest.tokens == 'visible'
        self.has_attention = not self.brings_mask
        self.grids = dict(precomputed=self.manifest.grid)
        self._rows: dict[int, list[tuple[int, int]]] = {}
        self._fingerprints: list[np.ndarray] = []
        self._files: dict[int, Any] = {}

    def __deepcopy__(self, memo: dict) -> 'PrecomputedTargets':
        return self

    def load(self) -> None:
        """Read the keys of all parts and leave the features in the files.

        Raises FileNotFoundError naming the first parts that are missing.
        """
        parts = range(self.manifest.num_parts)
        missing = [part for part in parts if not part_path(self.root, part).is_file()]
        if missing:
            raise FileNotFoundError(
                f'{self.root} lacks {len(missing)} of {len(parts)} parts, the first '
                f'{part_path(self.root, missing[0]).name}: run tools/precompute_targets.py again'
            )
        rows = defaultdict(list)
        for part in parts:
            file = self._open(part)
            for row, key in enumerate(file.get_tensor('key').tolist()):
                rows[key].append((part, row))
            self._fingerprints.append(file.get_tensor('fingerprint').numpy())
        self._rows = dict(rows)

    def __call__(
        self,
        video: Tensor,
        data_samples: Sequence[VideoDataSample] | None = None,
        final: bool = True,
        attn: bool = True,
    ) -> Targets:
        """Targets of clips (B, C, F, H, W), one data sample each.

        Raises:
            ValueError: no data samples, or a clip that the folder holds no features of.
            RuntimeError: the folder was not loaded.
        """
        if not self._rows:
            raise RuntimeError('the targets are not loaded: call load_targets() of the model')
        if data_samples is None or len(data_samples) != len(video):
            raise ValueError('precomputed targets need one data sample per clip')
        prints = fingerprint(video).cpu().numpy()
        entries = [
            self._read(*self._find(sample.path, print_))
            for sample, print_ in zip(data_samples, prints, strict=True)
        ]
        batch = {
            name: torch.stack([entry[name] for entry in entries]).to(video.device)
            for name in entries[0]
        }
        return Targets(
            list(batch['clip_middle'].unbind(1)),
            batch['clip_final'][:, 0] if final and 'clip_final' in batch else None,
            list(batch['mae'].unbind(1)) if 'mae' in batch else [],
            batch.get('attn') if attn else None,
            batch.get('mask'),
        )

    def _find(self, path: str, print_: np.ndarray) -> tuple[int, int]:
        candidates = self._rows.get(path_key(path))
        if candidates is None:
            raise ValueError(f'{self.root} holds no targets for {path}')
        for part, row in candidates:
            if np.abs(self._fingerprints[part][row] - print_).max() < FINGERPRINT_TOLERANCE:
                return part, row
        raise ValueError(
            f'{self.root} holds targets of {len(candidates)} other crops of {path}: the pipeline '
            f'and the seed must be those of the targets (seed {self.manifest.seed}), and the '
            f'sampler needs augment_period={self.manifest.num_crops}'
        )

    def _read(self, part: int, row: int) -> dict[str, Tensor]:
        file = self._open(part)
        names = [name for name in file.keys() if name not in ('key', 'fingerprint')]  # noqa: SIM118
        return {name: file.get_slice(name)[row] for name in names}

    def _open(self, part: int) -> Any:
        if part not in self._files:
            from safetensors import safe_open

            if len(self._files) >= MAX_OPEN_FILES:
                # The file that was opened first makes room: a dict keeps its order.
                self._files.pop(next(iter(self._files)))
            self._files[part] = safe_open(part_path(self.root, part), framework='pt')
        return self._files[part]
