"""Videos whose classes are merged into groups."""

from collections.abc import Mapping, Sequence
from typing import Any

from internvideo.datasets.video_dataset import VideoDataset
from internvideo.registry import DATASETS
from internvideo.structures.rehearsal import Examples


@DATASETS.register_module()
class GroupedVideoDataset(VideoDataset):
    """A :class:`VideoDataset` that learns groups of the classes in its annotation list.

    Args:
        groups: group name -> names of its classes; the order of the groups gives their labels.
        **options: as for :class:`VideoDataset`; ``classes`` names the classes of the list.

    Raises:
        ValueError: a class is in no group or in two, or a group names an unknown class.
    """

    @classmethod
    def with_examples(cls, config: Mapping[str, Any], examples: Examples) -> dict[str, Any]:
        """Offer a rehearsal example rows, of the classes that the groups name."""
        classes = [name for group in config['groups'].values() for name in group]
        return VideoDataset.with_examples(dict(config, classes=classes), examples)

    def __init__(self, groups: Mapping[str, Sequence[str]], **options: Any) -> None:
        super().__init__(**options)
        classes = self.metainfo.get('classes', ())
        members = [name for group in groups.values() for name in group]
        if sorted(members) != sorted(classes):
            odd = sorted(set(members) ^ set(classes)) or 'a class named twice'
            raise ValueError(f'groups must hold each class of the list once: {odd}')
        group_of = {name: label for label, group in enumerate(groups.values()) for name in group}
        self.group_labels = [group_of[name] for name in classes]
        self.metainfo = dict(classes=tuple(groups), num_classes=len(groups))

    def get_data_info(self, row: int) -> dict:
        """The row of the list with the group as its label."""
        info = super().get_data_info(row)
        return info | dict(label=self.group_labels[info['label']])
