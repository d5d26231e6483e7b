"""Confusion matrices of classification."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

MAX_COUNTED = 20
MAX_NAMED = 60


def confusion_counts(
    labels: Sequence[int], predictions: Sequence[int], num_classes: int
) -> np.ndarray:
    """Counts (K, K) of true classes (rows) and predicted classes (columns)."""
    from sklearn.metrics import confusion_matrix

    return confusion_matrix(labels, predictions, labels=range(num_classes))


def draw_confusion_matrix(
    counts: np.ndarray, class_names: Sequence[str], path: str | Path, title: str = ''
) -> None:
    """Write ``counts`` (K, K) as a PNG, each row shaded as shares of its true class.

    Cells hold their counts up to 20 classes, axes their class names up to 60.
    """
    from matplotlib.figure import Figure

    num_classes = len(counts)
    side = float(np.clip(0.55 * num_classes + 2.5, 5, 14))
    figure = Figure(figsize=(side + 1, side), layout='constrained')
    axes = figure.subplots()
    # A class without videos has a row of zeros, not of NaN.
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    image = axes.imshow(shares, cmap='Blues', vmin=0, vmax=1)
    figure.colorbar(image, ax=axes, shrink=0.8, label='share of the true class')
    axes.set(xlabel='predicted', ylabel='true', title=title)
    if num_classes <= MAX_NAMED:
        size = 10 if num_classes <= MAX_COUNTED else 6
        axes.set_xticks(range(num_classes), class_names, rotation=90, fontsize=size)
        axes.set_yticks(range(num_classes), class_names, fontsize=size)
    if num_classes <= MAX_COUNTED:
        _write_counts(axes, counts, shares)
    figure.savefig(path, dpi=110)


def _write_counts(axes, counts: np.ndarray, shares: np.ndarray) -> None:
    for row, column in np.argwhere(counts > 0):
        # Dark cells of the colour map would hide black digits.
        colour = 'white' if shares[row, column] > 0.5 else 'black'
        axes.text(column, row, counts[row, column], ha='center', va='center', color=colour)
