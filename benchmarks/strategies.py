"""Step time and bytes owned per process of every strategy, side by side, on a ~100 M encoder.

    python benchmarks/strategies.py [--processes 1 2] [--steps 6] [--only ddp zero3 ...]

Each strategy trains the same recipe through the runner, in fresh processes (gloo on a CPU).  Bytes
are counted, not sampled: at the moment of the optimiser step, when the gradient is complete and no
activation is alive, every tensor storage of the process, by kind.  DDP's gradient buckets live in
C++ and are added as one more copy of the gradient.  Then the CPU time that the runner and its hooks
add to a bare PyTorch loop, and how long saving blocks training beside writing the same bytes once.
"""

import argparse
import gc
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

os.environ.setdefault('OMP_NUM_THREADS', '1')
os.environ.setdefault('OMP_WAIT_POLICY', 'PASSIVE')
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
import torch
from mmengine.config import Config
from mmengine.hooks import Hook
from torch.optim.optimizer import register_optimizer_step_pre_hook
from torch.utils.data import Dataset

from internvideo.engine.distributed import init_process_group
from internvideo.registry import DATASETS, RUNNERS
from internvideo.structures import VideoDataSample

STRATEGIES = dict(
    single=dict(type='SingleDevice'),
    ddp=dict(type='DDP'),
    fsdp=dict(type='FSDP'),
    zero1=dict(type='DeepSpeed', stage=1),
    zero2=dict(type='DeepSpeed', stage=2),
    zero3=dict(type='DeepSpeed', stage=3),
)
WARMUP, FRAMES, SIZE, CLASSES, GLOBAL_BATCH = 2, 2, 56, 400, 2
KINDS = ('weights', 'gradients', 'optimizer', 'buckets')


@DATASETS.register_module(force=True)
class NoiseClips(Dataset):
    """Clips of noise, ready made, so that only the training is measured."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.clip = torch.from_numpy(
            np.random.RandomState(0).randint(0, 256, (1, 3, FRAMES, SIZE, SIZE), dtype=np.uint8)
        )

    def __len__(self) -> int:
        return self.size

    def __getitem__(self, index: object) -> dict:
        sample = VideoDataSample()
        sample.set_gt_label(0)
        return dict(inputs=self.clip, data_samples=sample)


def recipe(work_dir: str, strategy: dict, world: int, steps: int, launcher: str) -> Config:
    """The published fine-tuning parts around a ViT-B sized encoder."""
    backbone = dict(
        type='InternVideo2', arch='base', img_size=SIZE, num_frames=FRAMES, drop_path_rate=0.0
    )
    return Config(
        dict(
            default_scope='internvideo',
            work_dir=work_dir,
            launcher=launcher,
            log_level='WARNING',
            strategy=strategy,
            randomness=dict(seed=0),
            model=dict(
                type='VideoRecognizer',
                data_preprocessor=dict(
                    type='ClipDataPreprocessor', mean=[123.7, 116.3, 103.5], std=[58.4, 57.1, 57.4]
                ),
                backbone=backbone,
                head=dict(type='ClassificationHead', num_classes=CLASSES, in_dim=768),
            ),
            train_dataloader=dict(
                batch_size=GLOBAL_BATCH // world,
                num_workers=0,
                sampler=dict(type='EpochSampler'),
                collate_fn=dict(type='collate_clips'),
                dataset=dict(type='NoiseClips', size=GLOBAL_BATCH * steps),
            ),
            train_cfg=dict(max_epochs=1),
            optim_wrapper=dict(
                type='OptimWrapper',
                optimizer=dict(type='AdamW', lr=1e-4, weight_decay=0.05),
                clip_grad=dict(max_norm=3.0),
                constructor='LayerDecayConstructor',
                paramwise_cfg=dict(layer_decay_rate=0.75),
            ),
            param_scheduler=dict(type='WarmupCosine', warmup_epochs=0, min_lr=1e-6),
            default_hooks=dict(checkpoint=dict(type='CheckpointHook', interval=0)),
            visualizer=dict(type='Visualizer', vis_backends=[dict(type='LocalVisBackend')]),
        )
    )


class Meter(Hook):
    """Wall and CPU time of each step, the bytes held at it, and no save at the end."""

    priority = 'LOWEST'

    def __init__(self) -> None:
        self.wall, self.cpu, self.bytes = [], [], dict.fromkeys(KINDS, 0)
        self.saving = {}

    def before_train(self, runner: object) -> None:
        register_optimizer_step_pre_hook(lambda optimizer, *_: self.weigh(runner, optimizer))
        self.last = time.perf_counter(), time.process_time()

    def weigh(self, runner: object, optimizer: torch.optim.Optimizer) -> None:
        if len(self.wall) == 1:  # the second step: the optimiser has its state
            held = owned_bytes(runner, optimizer)
            self.bytes = max(self.bytes, held, key=lambda seen: sum(seen.values()))

    def after_train_iter(
        self, runner: object, batch_idx: int, data_batch: object = None, outputs: object = None
    ) -> None:
        now = time.perf_counter(), time.process_time()
        self.wall.append(now[0] - self.last[0])
        self.cpu.append(now[1] - self.last[1])
        self.last = now


def owned_bytes(runner: object, optimizer: torch.optim.Optimizer) -> dict[str, int]:
    """Bytes of every tensor storage of this process, each counted once, by kind."""
    model = runner.strategy.unwrap(runner.model)
    parameters = list(model.parameters())
    stepped = [p for group in optimizer.param_groups for p in group['params']]
    states = [t for state in optimizer.state.values() for t in state.values()]
    weights = [*parameters, *model.buffers(), *stepped, *optimizer.state]
    weights += [p.ds_tensor for p in parameters if hasattr(p, 'ds_tensor')]
    gradients = [p.grad for p in (*parameters, *stepped) if p.grad is not None]
    everything = [t for t in gc.get_objects() if type(t) in (torch.Tensor, torch.nn.Parameter)]
    seen: set[int] = set()
    groups = zip(KINDS, (weights, gradients, states, everything), strict=True)
    held = {kind: sum(new_bytes(tensor, seen) for tensor in tensors) for kind, tensors in groups}
    if type(runner.strategy).__name__ == 'DDP':
        held['buckets'] += held['gradients']
    return held


def new_bytes(tensor: object, seen: set[int]) -> int:
    """Bytes of the storage behind ``tensor`` unless it was counted before."""
    if not isinstance(tensor, torch.Tensor):
        return 0
    local = tensor.to_local() if hasattr(tensor, 'to_local') else tensor
    storage = local.detach().untyped_storage()
    if storage.size() == 0 or storage.data_ptr() in seen:
        return 0
    seen.add(storage.data_ptr())
    return storage.size()


def work(name: str, steps: int, launcher: str, out: str) -> None:
    """One process of one measurement; rank 0 writes what it saw to ``out``."""
    init_process_group(launcher)
    world = int(os.environ.get('WORLD_SIZE', '1')) if launcher != 'none' else 1
    with tempfile.TemporaryDirectory() as folder:
        config = recipe(folder, STRATEGIES[name], world, steps, launcher)
        runner, meter = RUNNERS.get('Runner').from_cfg(config), Meter()
        runner.register_hook(meter)
        runner.save_progress = lambda **_: None  # the measured save comes after training
        runner.train()
        del runner.save_progress
        saving = time_saving(runner, Path(folder))
    if runner.strategy.rank == 0:
        seen = dict(wall=meter.wall, cpu=meter.cpu, bytes=meter.bytes, saving=saving)
        Path(out).write_text(json.dumps(seen))


def time_saving(runner: object, folder: Path) -> dict[str, float]:
    """Seconds that a save blocks, until it is on the disk, and of one plain write of the bytes."""
    start = time.perf_counter()
    path = runner.save_progress()
    blocked = time.perf_counter() - start
    runner.finish_saving()
    whole = time.perf_counter() - start
    content = path.read_bytes() if runner.strategy.rank == 0 else b''
    start = time.perf_counter()
    with (folder / f'plain-{runner.strategy.rank}').open('wb') as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    plain = time.perf_counter() - start
    return dict(blocked=blocked, whole=whole, plain=plain, size=len(content))


def bare_loop(steps: int) -> list[float]:
    """CPU seconds of each step of the same training without runner and hooks."""
    from internvideo.datasets.collate import collate_clips
    from internvideo.engine.optimizers.constructors import LayerDecayConstructor
    from internvideo.registry import MODELS

    config = recipe('unused', STRATEGIES['single'], 1, steps, 'none')
    model = MODELS.build(config.model).train()
    wrapper = config.optim_wrapper
    wrapper.pop('constructor')
    paramwise = wrapper.pop('paramwise_cfg')
    optimizer = LayerDecayConstructor(wrapper, paramwise)(model).optimizer
    parameters = [p for group in optimizer.param_groups for p in group['params']]
    loader = torch.utils.data.DataLoader(
        NoiseClips(GLOBAL_BATCH * steps), GLOBAL_BATCH, collate_fn=collate_clips
    )
    times, last = [], time.process_time()
    for batch in loader:
        data = model.data_preprocessor(batch, True)
        loss = model(**data, mode='loss')['loss']
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 3.0)
        optimizer.step()
        optimizer.zero_grad()
        times.append(time.process_time() - last)
        last = time.process_time()
    return times


def measure(name: str, processes: int, steps: int) -> dict:
    """Run :func:`work` in ``processes`` fresh processes."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / 'seen.json'
        command = [sys.executable, __file__, '--worker', name, '--steps', str(steps)]
        command += ['--out', str(out)]
        environ = dict(os.environ)
        if processes > 1:
            with socket.socket() as free:
                free.bind(('127.0.0.1', 0))
                port = free.getsockname()[1]
            launch = f'-m torch.distributed.run --nproc_per_node {processes} --master_port {port}'
            command = [command[0], *launch.split(), *command[1:], '--launcher', 'pytorch']
        done = subprocess.run(command, env=environ, capture_output=True, text=True, check=False)
        if done.returncode:
            sys.exit(f'{name} on {processes} processes failed:\n{done.stderr[-3000:]}')
        return json.loads(out.read_text())


def show_strategies(found: dict[tuple[str, int], dict]) -> None:
    """A row per strategy and number of processes."""
    print(f'{"strategy":10} {"proc":>4} {"step s":>7} {"MB owned":>9} {"x DDP":>6}  ', end='')
    print(' '.join(f'{kind:>10}' for kind in KINDS))
    for (name, processes), seen in found.items():
        owned = sum(seen['bytes'].values())
        base = found.get(('ddp', processes))
        ratio = f'{owned / sum(base["bytes"].values()):6.2f}' if base else ' ' * 6
        step = statistics.median(seen['wall'][WARMUP:])
        kinds = ' '.join(f'{seen["bytes"][kind] / 1e6:10.0f}' for kind in KINDS)
        print(f'{name:10} {processes:4} {step:7.2f} {owned / 1e6:9.0f} {ratio}  {kinds}')


def show_saving(found: dict[tuple[str, int], dict]) -> None:
    """How long saving blocks, beside one write of the same bytes."""
    for (name, processes), seen in found.items():
        s = seen['saving']
        print(
            f'saving {name} x{processes}: {s["size"] / 1e6:.0f} MB, blocks {s["blocked"]:.2f} s = '
            f'{s["blocked"] / s["plain"]:.2f} x one plain write ({s["plain"]:.2f} s); '
            f'on the disk after {s["whole"]:.2f} s'
        )


def show_overhead(rounds: int, steps: int) -> None:
    """CPU time of the runner beside a bare loop, alternating."""
    ratios = []
    for _ in range(rounds):
        bare = statistics.median(bare_loop(steps)[WARMUP:])
        seen = measure('single', 1, steps)
        ratios.append(statistics.median(seen['cpu'][WARMUP:]) / bare)
    print(f'runner and hooks: {statistics.median(ratios):.3f} x the CPU time of a bare loop')


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--processes', type=int, nargs='+', default=[1, 2])
    parser.add_argument('--steps', type=int, default=8)
    parser.add_argument('--rounds', type=int, default=3, help='of the overhead; 0 leaves it out')
    parser.add_argument('--only', nargs='+', choices=STRATEGIES, default=list(STRATEGIES))
    parser.add_argument('--worker', help=argparse.SUPPRESS)
    parser.add_argument('--out', help=argparse.SUPPRESS)
    parser.add_argument('--launcher', default='none', help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.worker:
        work(args.worker, args.steps, args.launcher, args.out)
        return
    found = {}
    for processes in args.processes:
        for name in args.only:
            if (name, processes > 1) not in (('single', True), ('ddp', False)):
                print(f'{name} on {processes} ...', file=sys.stderr, flush=True)
                found[name, processes] = measure(name, processes, args.steps)
    show_strategies(found)
    show_saving(found)
    if args.rounds:
        show_overhead(args.rounds, args.steps)


if __name__ == '__main__':
    main()
