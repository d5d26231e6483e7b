"""Training curves from the scalars a run has logged."""

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np

Series = dict[int, float]


def read_scalars(work_dir: str | Path) -> dict[str, Series]:
    """Logged scalars by tag as step -> value, from ``**/vis_data/scalars.json`` in ``work_dir``.

    A resumed run has one file per start, in folders named by time; where two hold the same step,
    the later one counts.  Steps are those the run logged: iterations, epochs for validation.
    """
    scalars: dict[str, Series] = {}
    # Folders are named by their time, so that sorting them puts the later start last.
    for file in sorted(Path(work_dir).rglob('vis_data/scalars.json')):
        for line in file.read_text(encoding='utf-8').splitlines():
            entry = json.loads(line)
            step = entry.pop('step')
            for tag, value in entry.items():
                scalars.setdefault(tag, {})[step] = value
    return scalars


def draw_curves(
    scalars: Mapping[str, Series],
    path: str | Path,
    panels: Mapping[str, str],
) -> None:
    """Write one panel per entry of ``panels`` (tag -> axis label) side by side as a PNG.

    A tag that was never logged leaves a panel that says so.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4.6 * len(panels), 3.6), layout='constrained')
    for axes, (tag, label) in zip(
        figure.subplots(1, len(panels), squeeze=False)[0], panels.items(), strict=True
    ):
        series = scalars.get(tag, {})
        _draw_series(axes, series, label)
        axes.set_title(label if series else f'{label}\n(no values of {tag!r} were logged)')
    figure.savefig(path, dpi=110)


def _draw_series(axes, series: Series, label: str) -> None:
    steps = sorted(series)
    values = np.array([series[step] for step in steps])
    crowded = len(steps) > 50
    axes.plot(
        steps, values, color='tab:blue', linewidth=1 if crowded else 1.8,
        alpha=0.35 if crowded else 1, marker=None if crowded else 'o', markersize=3,
    )  # fmt: skip
    if crowded:  # a moving average over the noise of single steps
        width = len(steps) // 20
        smooth = np.convolve(values, np.ones(width) / width, mode='valid')
        first = width // 2
        axes.plot(steps[first : first + len(smooth)], smooth, color='tab:blue', linewidth=1.8)
    # Percentages are validation metrics, which a run logs by epoch.
    axes.set_xlabel('epoch' if '%' in label else 'iteration')
    axes.grid(alpha=0.3)
