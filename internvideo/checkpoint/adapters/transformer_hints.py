"""Likely reasons why a checkpoint does not fit a video transformer, read from shapes."""

import re

from internvideo.checkpoint.report import (
    LoadReport,
    Shapes,
    abbreviate,
    layout_hints,
    shape_text,
)

_BLOCK = re.compile(r'(?:^|\.)(?:res)?blocks\.(\d+)\.')
_FIRST_NORMS = ('blocks.0.norm1.weight', 'blocks.0.ln_1.weight')
_KERNELS = ('patch_embed.proj.weight', 'conv1.weight')


def transformer_hints(state: Shapes, model: Shapes, report: LoadReport) -> list[str]:
    """Likely reasons why ``state`` does not fit ``model``, most telling first."""
    if not _encoder_size(state) and _encoder_size(model):
        return [
            'the checkpoint holds no blocks of this encoder family, so it has another layout; its '
            f'entries are {abbreviate(state)}'
        ]
    if other := layout_hints(report):
        return other
    differs = _differ(_encoder_size(state), _encoder_size(model))
    hints = [_architecture_hint(state, model)] if differs else []
    hints += [_tables_hint(state, model), _kernel_hint(report)]
    if not any(hints):
        hints += [_sizes_hint(report), _classes_hint(report)]
    return [hint for hint in hints if hint]


def _encoder_size(shapes: Shapes) -> tuple[int | None, int] | None:
    """Width and depth of the encoder that ``shapes`` describe, or None without blocks.

    The width is None where the norm that tells it is missing.
    """
    # Decoders of autoencoders have blocks of the same names, and another width.
    inner = {name: shape for name, shape in shapes.items() if 'decoder.' not in name}
    blocks = [int(found[1]) for name in inner if (found := _BLOCK.search(name))]
    if not blocks:
        return None
    norms = [shape for name, shape in inner.items() if name.endswith(_FIRST_NORMS)]
    return (norms[0][-1] if norms else None), max(blocks) + 1


def _differ(one: tuple[int | None, int] | None, other: tuple[int | None, int] | None) -> bool:
    """Whether two sizes differ in what is known of both."""
    if one is None or other is None:
        return one != other
    return any(a != b for a, b in zip(one, other, strict=True) if None not in (a, b))


def _architecture_hint(state: Shapes, model: Shapes) -> str:
    sizes = {'the checkpoint': _encoder_size(state), 'the model': _encoder_size(model)}
    told = ', '.join(
        f'{whose} has embed_dim={size[0]}, depth={size[1]}' if size else f'{whose} has no blocks'
        for whose, size in sizes.items()
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
        if name.endswith(_KERNELS) and old[2:] != new[2:]:
            return (
                'another patch: (tubelet_size, patch_size, patch_size) is '
                f'{shape_text(old[2:])} in the checkpoint and {shape_text(new[2:])} in the model'
            )
    return ''


def _sizes_hint(report: LoadReport) -> str:
    sizes = report.mismatched.items()
    tables = [name for name, pair in sizes if 'pos_embed' in name and min(map(len, pair)) > 1]
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
        if name.endswith('head.weight') and old[:1] != new[:1]:
            return (
                f'another class count: {shape_text(old[:1])} in the checkpoint, '
                f'{shape_text(new[:1])} in the model; set '
                "num_classes, or for a published checkpoint head='remap' (Kinetics-710 to 400, "
                "600 or 700) or head='reset' (start anew)"
            )
    return ''
