"""Put predictions together: shares of a test, or those of several models as an ensemble.

Example: internvideo merge-predictions a.json b.json --ensemble --weights 2 1 --out both.json
"""

import argparse
import json
import operator
from collections.abc import Sequence
from pathlib import Path

from internvideo.engine.command_line import UsageError, guarded


def build_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('parts', nargs='+', type=Path, help='files of tools/test.py --out')
    parser.add_argument(
        '--ensemble',
        action='store_true',
        help='the files are of one whole test each, by different models: average their scores',
    )
    parser.add_argument(
        '--weights', nargs='+', type=float, metavar='W', help='one for each file (default: equal)'
    )
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


def ensemble(parts: list[Path], weights: Sequence[float] | None = None) -> list[dict]:
    """Average the scores of several models on the same samples.

    Args:
        parts: predictions of a whole test each.
        weights: one for each file, in any scale; None: equal ones.

    Raises:
        ValueError: weights of another number, negative or all 0; files of other samples, labels
            or numbers of classes.
    """
    weights = [1.0] * len(parts) if weights is None else list(weights)
    if len(weights) != len(parts) or min(weights) < 0 or not sum(weights):
        raise ValueError(f'--weights {weights} are not one non-negative number for each file')
    shares = [weight / sum(weights) for weight in weights]
    first, *others = (read_parts([part]) for part in parts)
    for part, rows in zip(parts[1:], others, strict=True):
        _check_same_test(first, rows, f'{parts[0]} and {part}')
    joined = []
    for same in zip(first, *others, strict=True):
        scores = [row['pred_score'] for row in same]
        # What one of the models could not read has no average.
        merged = None
        if all(scores):
            columns = zip(*scores, strict=True)
            merged = [sum(map(operator.mul, shares, column)) for column in columns]
        unreadable = next((row['unreadable'] for row in same if row['unreadable']), None)
        row = {**same[0], 'pred_score': merged, 'unreadable': unreadable}
        joined.append(_with_guess(row, same))
    return joined


def _with_guess(row: dict, same: Sequence[dict]) -> dict:
    """``row`` with the likeliest class, named as one of the models that agree with it names it."""
    scores = row['pred_score']
    guess = None if scores is None else scores.index(max(scores))
    names = (other.get('pred_name') for other in same if other.get('pred_label') == guess)
    return {**row, 'pred_label': guess, 'pred_name': next(names, None)}


def _check_same_test(one: list[dict], two: list[dict], which: str) -> None:
    if len(one) != len(two):
        raise ValueError(f'{which}: {len(one)} and {len(two)} samples are not of one test')
    for a, b in zip(one, two, strict=True):
        for name in ('path', 'gt_label'):
            if a.get(name) != b.get(name):
                raise ValueError(
                    f'{which}: sample {a["sample_index"]} has {name} {a.get(name)!r} and '
                    f'{b.get(name)!r}'
                )
        if a['pred_score'] and b['pred_score'] and len(a['pred_score']) != len(b['pred_score']):
            raise ValueError(
                f'{which}: scores of {len(a["pred_score"])} and {len(b["pred_score"])} classes'
            )


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

    if args.weights and not args.ensemble:
        raise UsageError('--weights belong to --ensemble: shares of one test have none')
    if args.ensemble:
        predictions = ensemble(args.parts, args.weights)
    else:
        predictions = read_parts(args.parts)
    if args.out:
        write_json(args.out, predictions, indent=None)
    for name, value in metrics(predictions).items():
        print(f'{name}: {value:g}')


def command(arguments: Sequence[str]) -> int:
    """Run with these arguments and return the exit status."""
    return guarded(main, build_parser(), arguments)
