"""Temporal localisation in a plug-in: a data set, a model with a head, a metric."""

import json
from pathlib import Path

import torch
from mmengine.evaluator import BaseMetric
from mmengine.model import BaseModel
from torch import nn
from torch.utils.data import Dataset

from internvideo.registry import DATASETS, METRICS, MODELS


@DATASETS.register_module()
class SegmentDataset(Dataset):
    """Rows of features with segments ``[start, end, label]`` in steps."""

    def __init__(self, ann_file, steps=16, split='train'):
        with Path(ann_file).open() as file:
            self.rows = [row for row in json.load(file) if row['split'] == split]
        self.steps = steps

    def __len__(self):
        return len(self.rows)

    def __getitem__(self, index):
        row = self.rows[index[1] if isinstance(index, tuple) else index]
        target = torch.zeros(self.steps, dtype=torch.long)
        for start, end, label in row['segments']:
            target[start:end] = label
        generator = torch.Generator().manual_seed(row['seed'])
        noise = torch.randn(self.steps, 8, generator=generator)
        return dict(features=noise + 3 * nn.functional.one_hot(target, 8), target=target)


@MODELS.register_module()
class SegmentLocalizer(BaseModel):
    """A class for every step of a sequence."""

    def __init__(self, num_classes, width=8, hidden=32, data_preprocessor=None):
        super().__init__(data_preprocessor)
        self.encoder = nn.Sequential(nn.Conv1d(width, hidden, 3, padding=1), nn.ReLU())
        self.head = nn.Conv1d(hidden, num_classes, 1)

    def forward(self, features, target=None, mode='tensor'):
        logits = self.head(self.encoder(features.transpose(1, 2)))
        if mode == 'loss':
            return dict(loss=nn.functional.cross_entropy(logits, target))
        steps = logits.argmax(dim=1)
        return [dict(steps=s, target=t) for s, t in zip(steps, target, strict=True)]


@METRICS.register_module()
class StepAccuracy(BaseMetric):
    default_prefix = 'loc'

    def process(self, data_batch, data_samples):
        for sample in data_samples:
            self.results.append((sample['steps'] == sample['target']).float().mean().item())

    def compute_metrics(self, results):
        return dict(step_accuracy=100 * sum(results) / len(results))
