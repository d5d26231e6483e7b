"""Draw confusion matrix, training curves and a contact sheet of a tested run.

Reads the predictions that ``tools/test.py --out`` wrote and the scalars the training logged,
writes three PNG files into the work folder, and prints top-1 and where the pictures lie.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np


def parse_args(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('work_dir', type=Path, help='work folder of the training run')
    parser.add_argument(
        '--predictions', type=Path, help='JSON file of predictions (WORK_DIR/predictions.json)'
    )
    parser.add_argument(
        '--classes', type=Path, help='class names, one a line (default: those in the predictions)'
    )
    parser.add_argument('--out-dir', type=Path, help='folder of the pictures (WORK_DIR)')
    parser.add_argument('--num-clips', type=int, default=18, help='clips on the contact sheet')
    return parser.parse_args(arguments)


def read_predictions(path: Path) -> list[dict]:
    if not path.is_file():
        raise FileNotFoundError(f'no predictions at {path}: run tools/test.py with --out {path}')
    predictions = json.loads(path.read_text(encoding='utf-8'))
    if not predictions:
        raise ValueError(f'{path} holds no prediction')
    return predictions


def class_names(predictions: list[dict], file: Path | None) -> list[str]:
    """Names by label: of ``file``, else as the predictions have them, else the label itself."""
    # Videos that could not be read have no scores.
    needed = max(max(row['gt_label'] + 1, len(row['pred_score'] or ())) for row in predictions)
    if file is not None:
        lines = file.read_text(encoding='utf-8').splitlines()
        names = [line.strip() for line in lines if line.strip()]
        if len(names) < needed:
            raise ValueError(f'{file}: {len(names)} class names for {needed} classes')
        return names
    known = {row['gt_label']: row['gt_name'] for row in predictions}
    known |= {row['pred_label']: row['pred_name'] for row in predictions}
    return [known.get(label) or str(label) for label in range(needed)]


def film_strip(row: dict, names: list[str], num_frames: int = 4):
    """The strip of one prediction, its frames spread over the whole video."""
    from internvideo.datasets.bad_samples import MediaError
    from internvideo.datasets.media.readers import FrameFolderReader, open_video
    from internvideo.visualization.contact_sheet import Strip

    label, frames, note = names[row['gt_label']], None, row['unreadable'] or ''
    if row['unreadable']:
        return Strip(None, label, None, note=note)
    try:
        folder = Path(row['path']).is_dir()
        reader = FrameFolderReader(row['path']) if folder else open_video(row['path'])
        frames = reader.get_batch(np.linspace(0, len(reader) - 1, num_frames).astype(int))
    except MediaError as error:
        note = str(error)
    predicted = row['pred_label']
    return Strip(frames, label, names[predicted], row['pred_score'][predicted], note)


def draw_all(args: argparse.Namespace, predictions: list[dict], out: Path) -> dict[str, Path]:
    from internvideo.visualization.confusion_matrix import confusion_counts, draw_confusion_matrix
    from internvideo.visualization.contact_sheet import choose_rows, draw_contact_sheet
    from internvideo.visualization.curves import draw_curves, read_scalars

    names = class_names(predictions, args.classes)
    correct = [row['pred_label'] == row['gt_label'] for row in predictions]
    unreadable = sum(row['unreadable'] is not None for row in predictions)
    title = f'top-1 {100 * np.mean(correct):.1f} % of {len(correct)} videos'
    title += f' ({unreadable} unreadable)' if unreadable else ''
    files = {
        'confusion matrix': out / 'confusion_matrix.png',
        'training curves': out / 'curves.png',
        'contact sheet': out / 'contact_sheet.png',
    }
    seen = [row for row in predictions if row['pred_label'] is not None]
    labels, predicted = [row['gt_label'] for row in seen], [row['pred_label'] for row in seen]
    counts = confusion_counts(labels, predicted, len(names))
    draw_confusion_matrix(counts, names, files['confusion matrix'], title)
    scalars = read_scalars(args.work_dir)
    rate = 'base_lr' if 'base_lr' in scalars else 'lr'  # the rate before layer-wise decay
    panels = {'loss': 'training loss', rate: 'learning rate', 'acc/top1': 'validation top-1 (%)'}
    draw_curves(scalars, files['training curves'], panels)
    chosen = [predictions[row] for row in choose_rows(correct, args.num_clips)]
    strips = [film_strip(row, names) for row in chosen]
    draw_contact_sheet(strips, files['contact sheet'], title=title)
    return files


def command(arguments: Sequence[str]) -> int:
    """Draw the report and return the exit status."""
    args = parse_args(arguments)
    try:
        if not args.work_dir.is_dir():
            raise FileNotFoundError(f'no such work folder: {args.work_dir}')
        predictions = read_predictions(args.predictions or args.work_dir / 'predictions.json')
        out = args.out_dir or args.work_dir
        out.mkdir(parents=True, exist_ok=True)
        files = draw_all(args, predictions, out)
    except (OSError, ValueError, KeyError) as error:
        print(f'report.py: {error}', file=sys.stderr)
        return 2
    correct = np.mean([row['pred_label'] == row['gt_label'] for row in predictions])
    print(f'top-1: {100 * correct:.1f}')
    for what, file in files.items():
        print(f'{what}: {file}')
    return 0
