"""Warning of a head with more classes than its training data."""

from typing import Any

from mmengine.dist import master_only
from mmengine.hooks import Hook

from internvideo.registry import HOOKS


@HOOKS.register_module()
class ClassCountHook(Hook):
    """Compares the classes of ``model.head`` with those of the training data.

    A label that the head has no class for is an error when the list is read.  Classes that no
    label means are only ever trained to be wrong; they are warned of when training starts.  The
    largest label says how many there are, or else what the data set declares
    (``metainfo['num_classes']``).
    """

    @master_only
    def before_train(self, runner: Any) -> None:
        """Warn of classes without videos."""
        head = (runner.cfg.get('model') or {}).get('head') or {}
        own = head.get('num_classes')
        given = num_classes(runner.train_loop.dataloader.dataset) if own else None
        if given is not None and own > given:
            runner.logger.warning(
                f'the head has {own} classes (model.head.num_classes), the training data only '
                f'{given}: no video is ever of the other {own - given}'
            )


def num_classes(dataset: Any) -> int | None:
    """Number of classes by the labels of a data set, else by its metainfo, or None."""
    largest = getattr(dataset, 'largest_label', None)
    if largest is not None:
        return largest + 1
    return (getattr(dataset, 'metainfo', None) or {}).get('num_classes')
