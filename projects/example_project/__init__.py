"""An example of a project: a head, a loss and a data set outside the package."""

from .cosine_head import CosineHead
from .focal_loss import FocalLoss
from .grouped_dataset import GroupedVideoDataset

__all__ = ['CosineHead', 'FocalLoss', 'GroupedVideoDataset']
