"""Training of the model of small_run.py in this process, which kills itself on request.

python -m tests.engine.train_small WORK_DIR [--workers N] [--kill-at ITER --signal NAME]
"""

import argparse
import os
import signal

from mmengine.hooks import Hook

from internvideo.engine.distributed import init_process_group, leave_process_group
from tests.engine.small_run import build, small_config


class KillHook(Hook):
    """Sends this process (or, with a signal that can be caught, its group) a signal."""

    priority = 'VERY_HIGH'

    def __init__(self, at, name):
        self.at, self.signum = at, getattr(signal, name)

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        if runner.iter + 1 == self.at:
            os.kill(os.getpid(), self.signum)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument('work_dir')
    parser.add_argument('--workers', type=int, default=0)
    parser.add_argument('--kill-at', type=int, default=0)
    parser.add_argument('--signal', default='SIGKILL')
    parser.add_argument('--launcher', default='none')
    args = parser.parse_args()
    init_process_group(args.launcher)
    config = small_config(args.work_dir, args.workers, resume='auto', launcher=args.launcher)
    config.default_hooks.checkpoint.interval_iters = 2
    runner = build(config)
    if args.kill_at:
        runner.register_hook(KillHook(args.kill_at, args.signal))
    runner.train()


if __name__ == '__main__':
    main()
    leave_process_group()
