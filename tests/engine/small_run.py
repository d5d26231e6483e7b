"""Small model, data set and config with everything that must survive a resume.

That is dropout, drop path, mixup and augmentation draws.
"""

import random
from pathlib import Path

import numpy as np
import torch
from mmengine.config import Config
from mmengine.evaluator import BaseMetric
from mmengine.model import BaseDataPreprocessor
from mmengine.structures import BaseDataElement
from torch import nn
from torch.utils.data import Dataset

from internvideo.models.backbones.base import VideoEncoder
from internvideo.models.tasks.base import VideoModel
from internvideo.registry import DATASETS, METRICS, MODELS, RUNNERS

NUM_CLASSES, WIDTH = 3, 8


@DATASETS.register_module(force=True)
class VectorClips(Dataset):
    """Vectors with a random shift drawn per (seed, epoch, row), as the real data set draws."""

    metainfo = dict(classes=('a', 'b', 'c'))

    def __init__(self, size=24, bad_row=-1):
        self.size, self.bad_row, self.seed = size, bad_row, 0

    def set_seed(self, seed):
        self.seed = seed

    def __len__(self):
        return self.size

    def __getitem__(self, index):
        epoch, row = index if isinstance(index, tuple) else (0, index)
        draws = np.random.RandomState([self.seed, epoch, row])
        label = row % NUM_CLASSES
        clip = torch.full((WIDTH,), float(label)) + torch.tensor(draws.randn(WIDTH)).float()
        if row == self.bad_row:
            clip = clip * float('nan')
        sample = BaseDataElement(metainfo=dict(path=f'/clips/{row}.mp4', sample_index=row))
        sample.gt_label = torch.tensor(label)
        return dict(inputs=clip, data_samples=sample)


class VectorMixup(BaseDataPreprocessor):
    def forward(self, data, training=False):
        inputs = torch.stack(list(data['inputs']))
        if training:
            share = float(np.random.beta(0.8, 0.8))
            inputs = share * inputs + (1 - share) * inputs.flip(0)
        return dict(inputs=self.cast_data(inputs), data_samples=data['data_samples'])


class VectorEncoder(VideoEncoder):
    def __init__(self, depth=2):
        super().__init__(WIDTH, depth, img_size=1, patch_size=1, num_frames=1)
        self.cls_token = nn.Parameter(torch.zeros(1, 1, WIDTH))
        self.blocks = nn.ModuleList(nn.Linear(WIDTH, WIDTH) for _ in range(depth))
        self.dropout = nn.Dropout(0.1)

    def forward(self, x):
        for block in self.blocks:
            kept = float(random.random() > 0.1) if self.training else 1.0  # drop path
            x = x + kept * self.dropout(torch.tanh(block(x)))
        return x + self.cls_token[0]


@MODELS.register_module(force=True)
class VectorRecognizer(VideoModel):
    def __init__(self, depth=2, init_cfg=None):
        super().__init__(data_preprocessor=VectorMixup(), init_cfg=init_cfg)
        self.backbone = VectorEncoder(depth)
        self.head = nn.Linear(WIDTH, NUM_CLASSES)

    def forward(self, inputs, data_samples=None, mode='tensor'):
        scores = self.head(self.backbone(inputs))
        labels = torch.stack([sample.gt_label for sample in data_samples])
        if mode == 'loss':
            return dict(loss=nn.functional.cross_entropy(scores.float(), labels))
        for sample, score in zip(data_samples, scores.float(), strict=True):
            sample.pred_score = score
        return data_samples


@METRICS.register_module(force=True)
class VectorAccuracy(BaseMetric):
    default_prefix = 'acc'

    def process(self, data_batch, data_samples):
        for sample in data_samples:
            self.results.append(float(sample['pred_score'].argmax() == sample['gt_label']))

    def compute_metrics(self, results):
        np.random.rand(7), torch.rand(3)  # validation must not disturb the training's draws
        return dict(top1=100 * sum(results) / len(results))


def loader(train, workers=0, **dataset):
    return dict(
        batch_size=4,
        num_workers=workers,
        persistent_workers=bool(workers),
        drop_last=train,
        sampler=dict(type='EpochSampler') if train else dict(type='EvalSampler'),
        dataset=dict(type='VectorClips', **dataset),
    )


def small_config(work_dir, workers=0, **changes):
    """A run of 2 epochs of 6 batches, with EMA and everything else that holds state."""
    config = Config(
        dict(
            work_dir=str(work_dir),
            default_scope='internvideo',
            model=dict(type='VectorRecognizer'),
            train_dataloader=loader(True, workers),
            val_dataloader=loader(False, size=7),
            val_evaluator=dict(type='VectorAccuracy'),
            test_dataloader=loader(False, size=7),
            test_evaluator=dict(type='VectorAccuracy'),
            train_cfg=dict(max_epochs=2),
            val_cfg=dict(),
            test_cfg=dict(),
            optim_wrapper=dict(
                type='OptimWrapper',
                optimizer=dict(type='AdamW', lr=0.01, weight_decay=0.05),
                clip_grad=dict(max_norm=1.0),
                constructor='LayerDecayConstructor',
                paramwise_cfg=dict(layer_decay_rate=0.75),
            ),
            param_scheduler=dict(type='WarmupCosine', warmup_epochs=1, min_lr=1e-5),
            default_hooks=dict(
                checkpoint=dict(type='CheckpointHook', save_best='top1'),
                logger=dict(type='LoggerHook', interval=1),
            ),
            custom_hooks=[dict(type='EMAHook', decay=0.9)],
            visualizer=dict(type='Visualizer', vis_backends=[dict(type='LocalVisBackend')]),
            randomness=dict(seed=3),
        )
    )
    config.merge_from_dict(changes)
    return config


def build(config):
    return RUNNERS.get('Runner').from_cfg(config)


def final_state(work_dir, epoch=2):
    return torch.load(Path(work_dir) / f'epoch_{epoch}.pth', weights_only=True)


def assert_equal_states(left, right):
    """Bitwise equality of everything that decides the rest of a run."""
    for key in ('state_dict', 'train_state_dict', 'optimizer', 'param_schedulers', 'random_states'):
        assert _equal(left.get(key), right.get(key)), key


def _equal(left, right):
    if isinstance(left, torch.Tensor):
        return torch.equal(left, right)
    if isinstance(left, dict):
        return left.keys() == right.keys() and all(_equal(left[k], right[k]) for k in left)
    if isinstance(left, list | tuple):
        return len(left) == len(right) and all(map(_equal, left, right))
    return left == right
