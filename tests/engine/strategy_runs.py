"""Runs of one small recipe under several strategies, one after the other in one set of processes.

python -m tests.engine.strategy_runs JOBS.json [pytorch]: each job is {folder, strategy, changes}.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import torch
from mmengine.dist import all_reduce, get_rank, get_world_size
from mmengine.hooks import Hook
from torch import nn

from internvideo.engine.distributed import init_process_group, leave_process_group
from internvideo.models.backbones.base import VideoEncoder
from internvideo.models.tasks.base import VideoModel
from internvideo.registry import MODELS
from tests.engine.small_run import NUM_CLASSES, WIDTH, build, small_config
from tests.paths import ROOT
from tests.processes import free_port

GLOBAL_BATCH = 4
STRATEGIES = {
    'single': dict(type='SingleDevice'),
    'ddp': dict(type='DDP'),
    'fsdp': dict(type='FSDP'),
    'fsdp_sharded': dict(type='FSDP', optimizer_state='sharded'),
    'zero3_sharded': dict(type='DeepSpeed', stage=3, optimizer_state='sharded'),
    'zero0': dict(type='DeepSpeed', stage=0),
    'zero1': dict(type='DeepSpeed', stage=1),
    'zero2': dict(type='DeepSpeed', stage=2, recipe='single_modality'),
    'zero3': dict(type='DeepSpeed', stage=3),
    'zero3_offload': dict(
        type='DeepSpeed',
        stage=3,
        offload_optimizer=True,
        offload_param=True,
        zero=dict(stage3_param_persistence_threshold=0),
    ),
}


class Encoder(VideoEncoder):
    """Odd sizes, so that no share is even; the input layer is frozen."""

    def __init__(self):
        super().__init__(13, 2, img_size=1, patch_size=1, num_frames=1)
        self.patch_embed = nn.Linear(WIDTH, 13).requires_grad_(False)
        self.cls_token = nn.Parameter(torch.full((1, 1, 13), 0.1))
        self.blocks = nn.ModuleList(nn.Linear(13, 13) for _ in range(2))
        self.register_buffer('offset', torch.ones(13))

    def forward(self, x):
        x = self.patch_embed(x) + self.cls_token[0] + self.offset.to(x)
        for block in self.blocks:
            x = x + torch.tanh(block(x))
        return x


@MODELS.register_module(force=True)
class PlainRecognizer(VideoModel):
    """Nothing random, so that the number of processes makes no difference.

    The two heads share a weight, and the temperature has no axes.
    """

    def __init__(self):
        super().__init__()
        self.backbone = Encoder()
        self.head = nn.Linear(13, NUM_CLASSES)
        self.second_head = nn.Linear(13, NUM_CLASSES)
        self.second_head.weight = self.head.weight
        self.temp = nn.Parameter(torch.tensor(0.7))

    def init_weights(self):
        nn.init.constant_(self.head.bias, 0.25)

    def forward(self, inputs, data_samples=None, mode='tensor'):
        inputs = torch.stack(list(inputs)).to(next(self.parameters()).device)
        features = self.backbone(inputs)
        scores = (self.head(features) + 0.1 * self.second_head(features.tanh())).float() / self.temp
        if mode == 'loss':
            labels = torch.stack([sample.gt_label for sample in data_samples])
            return dict(loss=nn.functional.cross_entropy(scores, labels))
        for sample, score in zip(data_samples, scores, strict=True):
            sample.pred_score = score
        return data_samples


class LossLog(Hook):
    """The loss of every global batch, by iteration."""

    def __init__(self):
        self.losses = {}

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        loss = outputs['loss'].detach().double().clone()
        all_reduce(loss, op='mean')
        self.losses[runner.iter + 1] = loss.item()


def run_job(job, launcher):
    """Train one job; losses and the last validation go to losses.json and score.json."""
    config = small_config(
        job['folder'],
        log_level='ERROR',
        launcher=launcher,
        model=dict(type='PlainRecognizer', _delete_=True),
        strategy=STRATEGIES[job['strategy']],
    )
    config.train_dataloader.batch_size = GLOBAL_BATCH // get_world_size()
    config.optim_wrapper.accumulative_counts = 2
    config.optim_wrapper.clip_grad.max_norm = 0.5
    config.default_hooks.checkpoint.interval_iters = 2
    config.merge_from_dict(job.get('changes', {}))
    runner, log = build(config), LossLog()
    runner.register_hook(log)
    runner.train()
    if get_rank() == 0:
        score = runner.message_hub.get_scalar('val/acc/top1').current()
        text = json.dumps(dict(losses=log.losses, score=score))
        (Path(job['folder']) / 'seen.json').write_text(text)


def run_jobs(jobs, folder, processes):
    """Run ``jobs`` in ``processes`` fresh processes."""
    listing = Path(folder) / f'jobs_{processes}_{len(jobs)}.json'
    listing.write_text(json.dumps(jobs))
    command = [sys.executable, '-m', 'tests.engine.strategy_runs', str(listing)]
    if processes > 1:
        launch = f'-m torch.distributed.run --nproc_per_node {processes}'
        launch += f' --master_port {free_port()} -m'
        command = [sys.executable, *launch.split(), *command[2:], 'pytorch']
    environment = dict(os.environ, OMP_NUM_THREADS='1', OMP_WAIT_POLICY='PASSIVE')
    done = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=400, check=False
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-6000:]


def main():
    listing, *launcher = sys.argv[1:]
    launcher = launcher[0] if launcher else 'none'
    init_process_group(launcher)
    for job in json.loads(Path(listing).read_text()):
        run_job(job, launcher)


if __name__ == '__main__':
    main()
    leave_process_group()
