"""Runs of a real recipe with faults injected where a test asks for them.

Runs are processes forked from a server that has imported everything, so each costs about a second;
each executes tools/train.py as the command line would.
"""

import contextlib
import multiprocessing
import os
import resource
import runpy
import signal
import sys
import time
from pathlib import Path

import torch
from mmengine.config import Config
from mmengine.dist import get_rank
from mmengine.hooks import Hook

from internvideo.datasets.synthetic import make_world
from internvideo.datasets.transforms.sampling import UniformSample
from internvideo.engine.hooks.interrupt_hook import InterruptHook
from internvideo.registry import HOOKS, TRANSFORMS
from tests.paths import ROOT
from tests.processes import free_port

TINY = ROOT / 'configs/internvideo2/tiny_synthetic.py'
FAULT, DRAWN = 'INJECTED_FAULT', 'DRAWN_SAMPLES'
CLIPS, GLOBAL_BATCH, EPOCHS = 16, 4, 2
STEPS = EPOCHS * CLIPS // GLOBAL_BATCH
PRELOADED = (
    'internvideo.engine.runner',
    'internvideo.models.tasks.recognition.video_recognizer',
    'internvideo.datasets.video_dataset',
    'decord',
    'matplotlib.pyplot',
    'torch.distributed.run',
    'torchvision',
    'yapf.yapflib.yapf_api',
    'tests.faults.injection',
)


@HOOKS.register_module(force=True)
class FaultHook(Hook):
    """Injects the fault that the environment asks for: ``'RANK STEP KIND NUMBER'``.

    ``step``: SIGKILL after that optimiser step, before anything is saved.  ``change N``: before
    the N-th change to the names in the work directory from there on (opening, renaming, removing).
    ``byte N``: when a file grows past N bytes.  ``limit N``: the same write fails, as on a full
    disk.  ``hold N``: no death, but a wait for a signal of at most N seconds;
    ``delay N``: the same before the step.
    """

    priority = 'VERY_HIGH'

    def before_train(self, runner):
        self.interrupt = next(hook for hook in runner.hooks if isinstance(hook, InterruptHook))

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        rank, step, kind, number = os.environ.get(FAULT, '-1 0 none 0').split()
        if int(rank) == get_rank() and int(step) == runner.iter + 1 and kind == 'delay':
            self.hold(int(number), None)

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        rank, step, kind, number = os.environ.get(FAULT, '-1 0 none 0').split()
        if int(rank) == get_rank() and int(step) == runner.iter + 1:
            if kind in ('change', 'byte', 'limit'):  # meant for the save of this very step
                runner._writer.finish()
            getattr(self, kind)(int(number), str(runner.work_dir))

    def step(self, number, folder):
        os.kill(os.getpid(), signal.SIGKILL)

    def change(self, number, folder):
        seen = []

        def audit(event, arguments):
            path = str(arguments[0]) if arguments else ''
            writes = event != 'open' or bool(arguments[2] & (os.O_WRONLY | os.O_RDWR))
            checkpoint = '.pth' in path or 'last_checkpoint' in path
            if event in ('open', 'os.rename', 'os.remove') and writes and checkpoint:
                seen.append(path)
                if len(seen) == number:
                    os.kill(os.getpid(), signal.SIGKILL)

        sys.addaudithook(audit)

    def byte(self, number, folder):
        signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
        self.limit(number, folder)

    def limit(self, number, folder):
        resource.setrlimit(resource.RLIMIT_FSIZE, (number, number))

    def delay(self, number, folder):
        pass

    def hold(self, number, folder):
        deadline = time.monotonic() + number
        while not self.interrupt.signum and time.monotonic() < deadline:
            time.sleep(0.05)


@TRANSFORMS.register_module(force=True)
class DrawnSample(UniformSample):
    """Lists each video that is about to be decoded."""

    def __call__(self, sample):
        with Path(os.environ[DRAWN]).open('a') as file:
            file.write(f'{sample["sample_index"]}\n')
        return super().__call__(sample)


def prepare_recipe(folder):
    """Write videos and ``config.py`` into ``folder``, with every random draw and two workers."""
    make_world(
        folder / 'synthetic', size=40, num_frames=12, workers=0,
        num_train=CLIPS, num_val=3, num_test=5,
    )  # fmt: skip
    os.environ['INTERNVIDEO2_DATA_PATH'] = str(folder)
    config = Config.fromfile(TINY)
    config.merge_from_dict(
        {
            'custom_imports': dict(imports=['tests.faults.injection']),
            'custom_hooks': [dict(type='EMAHook', decay=0.9), dict(type='FaultHook')],
            'train_cfg': dict(max_epochs=EPOCHS, val_interval=1),
            'train_dataloader.batch_size': GLOBAL_BATCH,
            'train_dataloader.dataset.sampling.type': 'DrawnSample',
            'val_dataloader.num_workers': 0,
            'param_scheduler.warmup_epochs': 1,
            'model.backbone.embed_dim': 48,
            'model.backbone.depth': 2,
            'model.backbone.clip_embed_dim': 48,
            'model.backbone.drop_path_rate': 0.3,
            'model.head.in_dim': 48,
            'model.head.dropout': 0.2,
            'model.data_preprocessor.batch_augments': [
                dict(type='RandomErasing', prob=0.5, mode='pixel'),
                dict(type='MixupCutmix', mixup_alpha=0.8, cutmix_alpha=1.0),
            ],
            'default_hooks.checkpoint': dict(interval=1, interval_iters=1, max_keep_ckpts=3),
            'default_hooks.logger.interval': 1,
            'default_hooks.heartbeat.interval': 0.3,
            'visualizer.vis_backends': [dict(type='LocalVisBackend')],
        }
    )
    policy = dict(type='RandAugment', policy='rand-m7-n4-mstd0.5-inc1')
    config.train_dataloader.dataset.pipeline.insert(0, policy)
    config.dump(folder / 'config.py')
    return folder / 'config.py'


class Run:
    """One start of tools/train.py on ``processes`` processes, gloo between them."""

    def __init__(self, config, work_dir, *options, processes=1, fault=None):
        work_dir.mkdir(exist_ok=True)
        self.log = work_dir / f'output-{len(list(work_dir.glob("output-*")))}.txt'
        self.drawn = self.log.with_suffix('.drawn')
        self.drawn.touch()
        changes = [f'train_dataloader.batch_size={GLOBAL_BATCH // processes}', *options]
        arguments = [config, '--work-dir', work_dir, '--resume', 'auto', '--cfg-options', *changes]
        arguments += ['--launcher', 'none' if processes == 1 else 'pytorch']
        environ = {DRAWN: str(self.drawn), FAULT: fault or '-1 0 none 0'}
        environ |= dict(MASTER_ADDR='127.0.0.1', MASTER_PORT=str(free_port()))
        environ |= dict(WORLD_SIZE=str(processes))
        context = multiprocessing.get_context('forkserver')
        context.set_forkserver_preload(list(PRELOADED))
        self.processes = [
            context.Process(
                target=_train,
                args=([str(a) for a in arguments], environ | {'RANK': str(r), 'LOCAL_RANK': str(r)},
                      str(self.log)),
            )
            for r in range(processes)
        ]  # fmt: skip
        for process in self.processes:
            process.start()

    def wait(self, seconds=120, grace=15):
        """Exit codes; processes that outlive a dead one by ``grace`` are killed, as torchrun does.

        Raises:
            TimeoutError: nothing ended in time.
        """
        deadline, died = time.monotonic() + seconds, None
        while any(process.is_alive() for process in self.processes):
            if died is None and any(process.exitcode for process in self.processes):
                died = time.monotonic()
            if died is not None and time.monotonic() > died + grace:
                break
            if time.monotonic() > deadline:
                self.kill()
                raise TimeoutError(self.output)
            time.sleep(0.02)
        self.kill()
        return [process.exitcode for process in self.processes]

    def kill(self):
        """End every process of the run, loader workers included."""
        for process in self.processes:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.join()

    def wait_for(self, text, seconds=60):
        """Until the run has printed ``text``."""
        deadline = time.monotonic() + seconds
        while text not in self.output:
            if time.monotonic() > deadline or not self.processes[0].is_alive():
                raise TimeoutError(f'{text!r} is not in:\n{self.output}')
            time.sleep(0.02)

    @property
    def output(self):
        return self.log.read_text() if self.log.exists() else ''

    @property
    def rows(self):
        """Rows of the training set that were opened, in order of the workers' turns."""
        return [int(line) for line in self.drawn.read_text().split()]


def _train(arguments, environ, log):
    os.setsid()
    os.environ.update(environ)
    torch.set_num_threads(1)
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(descriptor, 1), os.dup2(descriptor, 2)
    sys.argv = ['tools/train.py', *arguments]
    runpy.run_path(str(ROOT / 'tools/train.py'), run_name='__main__')
