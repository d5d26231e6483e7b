"""Console output of a run, in few lines beside the full log file."""

import logging
from typing import Any

from torch import nn

# mmengine's dumps of the environment, the config and the hooks, and its reminder every epoch.
DUMPS = ('\n' + '-' * 60, 'Config:\n', 'Hooks will be executed', 'Exp name: ')


def keep_dumps_in_file(logger: logging.Logger) -> None:
    """Leave mmengine's long dumps to the log file, unless the log level is DEBUG."""
    for handler in logger.handlers:
        if not isinstance(handler, logging.FileHandler) and handler.level > logging.DEBUG:
            handler.addFilter(_is_no_dump)


def _is_no_dump(record: logging.LogRecord) -> bool:
    return not record.getMessage().startswith(DUMPS)


def model_facts(model: nn.Module) -> str:
    """Class and size of ``model``."""
    sizes = [(p.numel(), p.requires_grad) for p in model.parameters()]
    total, trained = sum(n for n, _ in sizes), sum(n for n, is_trained in sizes if is_trained)
    share = 'all trained' if trained == total else f'{trained / 1e6:.2f} M of them trained'
    return f'model {type(model).__name__}: {total / 1e6:.2f} M parameters, {share}'


def loader_facts(loader: Any) -> str:
    """Size of the data set of ``loader`` and of its batches."""
    dataset, order = loader.dataset, loader.batch_sampler
    if hasattr(dataset, 'group_sizes') and hasattr(order, 'batch_sizes'):
        return f'{len(dataset)} samples, on each process {_group_facts(order)}'
    size, repeats = getattr(order, 'batch_size', None), getattr(dataset, 'num_repeats', 1)
    each = f'{size} x {repeats} repeats' if repeats > 1 else size
    return f'{len(dataset)} samples, {len(loader)} batches of {each} on each process'


def _group_facts(order: Any) -> str:
    """Batches of each group of a mixture."""
    return ', '.join(
        f'{count} batches of {order.batch_sizes[group]} ({group}, {order.group_sizes[group]})'
        for group, count in order.num_batches.items()
    )
