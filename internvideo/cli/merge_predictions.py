"""Put the predictions of a shared test together: merge_predictions.py PARTS... --out FILE."""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

from internvideo.engine.command_line import guarded


def build_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(description='Put the predictions of a shared test together.')
    parser.add_argument('parts', nargs='+', type=Path, help='files of tools/test.py --shard --out')
    parser.add_argument('--out', type=Path, help='write all predictions, in order')
    parser.add_argument('--debug', action='store_true', help='show the traceback of every error')
    return parser


def read_parts(parts: list[Path]) -> list[dict]:
    """Read the predictions in the order of the data set.

    Raises:
        ValueError: a sample comes twice or is missing.
    """
    from internvideo.evaluation.gathered_metric import merge_records

    rows = [json.loads(part.read_text(encoding='utf-8')) for part in parts]
    merged = merge_records(rows, sum(map(len, rows)))
    # Shares take every n-th sample, so that one which is missing leaves holes.
    missing = set(range(merged[-1]['sample_index'] + 1)) - {row['sample_index'] for row in merged}
    if missing:
        raise ValueError(f'{len(missing)} samples are missing, such as row {min(missing)}')
    return merged


def metrics(predictions: list[dict]) -> dict[str, float]:
    """Accuracy over all of them, as the test itself would report it."""
    import numpy as np

    from internvideo.evaluation.accuracy import AccuracyMetric

    records = [
        {**row, 'pred_score': row['pred_score'] and np.array(row['pred_score'])}
        for row in predictions
    ]
    return AccuracyMetric().compute_metrics(records)


def main(args: argparse.Namespace) -> None:
    """Merge."""
    from internvideo.fileio.json_files import write_json

    predictions = read_parts(args.parts)
    if args.out:
        write_json(args.out, predictions, indent=None)
    for name, value in metrics(predictions).items():
        print(f'{name}: {value:g}')


def command(arguments: Sequence[str]) -> int:
    """Run with these arguments and return the exit status."""
    return guarded(main, build_parser(), arguments)
