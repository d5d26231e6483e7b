"""Training of a small audio-video model over a mixture, in a process of its own.

python -m tests.engine.train_mixture WORK_DIR WORLD [--workers N] [--kill-at ITER]
"""

import argparse
import json
from pathlib import Path

import torch
from mmengine.model import BaseDataPreprocessor, BaseModel
from torch import nn

from internvideo.engine.distributed import init_process_group, leave_process_group
from internvideo.registry import MODELS
from tests.datasets.media_world import mixture
from tests.engine.small_run import build, small_config
from tests.engine.train_small import KillHook

COUNTS = dict(image=11, video=6, audio_video=5)
BATCHES = dict(image=2, video=2, audio_video=1)
STEPS = 5 + 3 + 5


@MODELS.register_module(force=True)
class SmallAudioVideoModel(BaseModel):
    """Scores means of frames and audio against the length of the caption."""

    def __init__(self, init_cfg=None):
        super().__init__(data_preprocessor=BaseDataPreprocessor(), init_cfg=init_cfg)
        self.backbone = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Dropout(0.1))
        self.head = nn.Linear(8, 1)

    def forward(self, inputs, data_samples=None, mode='tensor'):
        pictures = inputs['video'].float().mean(dim=(2, 3, 4)) / 255
        audio = inputs.get('audio', torch.zeros(len(pictures), 1, 1)).mean(dim=(1, 2))
        scores = self.head(self.backbone(torch.cat([pictures, audio[:, None]], dim=1)))[:, 0]
        lengths = [len(sample.caption) + sample.pair_id % 7 for sample in data_samples]
        return dict(loss=nn.functional.mse_loss(scores, torch.tensor(lengths) / 10))


def config_of(work_dir, table, workers=0, **changes):
    config = small_config(work_dir, log_level='INFO')
    for name in ('val_dataloader', 'val_evaluator', 'val_cfg'):
        config[name] = None
    config.default_hooks.checkpoint = dict(type='CheckpointHook', interval_iters=1)
    config.optim_wrapper = dict(type='OptimWrapper', optimizer=dict(type='AdamW', lr=0.01))
    config.model = dict(type='SmallAudioVideoModel')
    config.train_dataloader = dict(
        num_workers=workers,
        persistent_workers=bool(workers),
        batch_sampler=dict(type='MediaBatchSampler', batch_size=BATCHES),
        collate_fn=dict(type='collate_media'),
        dataset=mixture(table),
    )
    config.merge_from_dict(changes)
    return config


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument('work_dir')
    parser.add_argument('table')
    parser.add_argument('--workers', type=int, default=0)
    parser.add_argument('--kill-at', type=int, default=0)
    parser.add_argument('--launcher', default='none')
    args = parser.parse_args()
    init_process_group(args.launcher)
    table = json.loads(Path(args.table).read_text())
    changes = dict(resume='auto', launcher=args.launcher)
    runner = build(config_of(args.work_dir, table, args.workers, **changes))
    if args.kill_at:
        runner.register_hook(KillHook(args.kill_at, 'SIGKILL'))
    runner.train()


if __name__ == '__main__':
    main()
    leave_process_group()
