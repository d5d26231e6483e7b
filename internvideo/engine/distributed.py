"""Start of the process group under torchrun, SLURM or alone.

The group is created here, before the runner is built, because mmengine's own set-up needs a GPU
driver and ``scontrol``.  The rank facts end up in ``RANK``, ``WORLD_SIZE``, ``LOCAL_RANK``,
``MASTER_ADDR`` and ``MASTER_PORT``, which torch and DeepSpeed both read.
"""

import gc
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

LAUNCHERS = ('none', 'pytorch', 'slurm')
PORT_BASE, PORT_SPAN = 10_000, 20_000  # below the ephemeral range of Linux


class LaunchError(RuntimeError):
    """Environment variable that the chosen launcher needs is missing or wrong."""


@dataclass(frozen=True)
class LaunchFacts:
    """Rank of this process in a job of several.

    ``rank`` of ``world_size`` processes, ``local_rank`` on its own machine; the processes meet at
    ``master_addr:master_port``.
    """

    rank: int
    world_size: int
    local_rank: int
    master_addr: str
    master_port: int

    def export(self, environ: dict | os._Environ = os.environ) -> None:
        """Write the facts under the names that torch reads."""
        for name, value in vars(self).items():
            environ[name.upper()] = str(value)


def launch_facts(launcher: str, environ: Mapping[str, str] = os.environ) -> LaunchFacts | None:
    """Read the rank of this process from the variables of ``launcher``, or None for ``none``.

    Raises:
        LaunchError: the launcher is unknown, or one of its variables is missing or no number.
    """
    if launcher == 'none':
        return None
    if launcher == 'pytorch':
        return _torchrun_facts(environ)
    if launcher == 'slurm':
        return _slurm_facts(environ)
    raise LaunchError(f'unknown launcher {launcher!r}; choose one of {", ".join(LAUNCHERS)}')


def _torchrun_facts(environ: Mapping[str, str]) -> LaunchFacts:
    hint = 'start through torchrun (tools/dist_train.sh) or use --launcher none'
    rank, world_size, local_rank, port = (
        _number(environ, name, 'pytorch', hint)
        for name in ('RANK', 'WORLD_SIZE', 'LOCAL_RANK', 'MASTER_PORT')
    )
    address = _text(environ, 'MASTER_ADDR', 'pytorch', hint)
    return LaunchFacts(rank, world_size, local_rank, address, port)


def _slurm_facts(environ: Mapping[str, str]) -> LaunchFacts:
    hint = 'start through srun (tools/slurm_train.sh) or use --launcher none'
    rank, world_size, local_rank, job = (
        _number(environ, name, 'slurm', hint)
        for name in ('SLURM_PROCID', 'SLURM_NTASKS', 'SLURM_LOCALID', 'SLURM_JOB_ID')
    )
    # The launch script knows best: a node name may not resolve on the node that reads it.
    if 'MASTER_ADDR' in environ:
        address = environ['MASTER_ADDR']
    elif environ.get('SLURM_STEP_NUM_NODES', environ.get('SLURM_NNODES')) == '1':
        address = '127.0.0.1'
    else:
        name = 'SLURM_STEP_NODELIST' if 'SLURM_STEP_NODELIST' in environ else 'SLURM_JOB_NODELIST'
        address = first_host(_text(environ, name, 'slurm', hint))
    if 'MASTER_PORT' in environ:
        port = _number(environ, 'MASTER_PORT', 'slurm', hint)
    else:
        port = slurm_port(job, environ.get('SLURM_STEP_ID', '0'))
    return LaunchFacts(rank, world_size, local_rank, address, port)


def _text(environ: Mapping[str, str], name: str, launcher: str, hint: str) -> str:
    if not environ.get(name):
        raise LaunchError(f'--launcher {launcher} needs the variable {name}: {hint}')
    return environ[name]


def _number(environ: Mapping[str, str], name: str, launcher: str, hint: str) -> int:
    text = _text(environ, name, launcher, hint)
    if not text.isdigit():
        raise LaunchError(f'--launcher {launcher}: {name}={text!r} is not a number')
    return int(text)


def slurm_port(job_id: int, step_id: str = '0') -> int:
    """Port of this job step, unlike those of other jobs on the same node."""
    step = int(step_id) if step_id.isdigit() else 0
    return PORT_BASE + (job_id + 131 * step) % PORT_SPAN


def first_host(nodelist: str) -> str:
    """First host of a SLURM node list such as ``gpu[03-07,11],login1``, without ``scontrol``."""
    # Up to the first comma that is not inside brackets.
    entry = re.match(r'[^,\[]+(\[[^\]]*\][^,\[]*)*', nodelist.strip())
    if entry is None:
        raise LaunchError(f'cannot read the SLURM node list {nodelist!r}')
    return re.sub(r'\[([^\],-]+)[^\]]*\]', r'\1', entry.group())


def collective_timeout(config: Any) -> float:
    """Seconds that a config gives a collective: ``env_cfg.dist_cfg.timeout``, 1800 by default."""
    return float(config.get('env_cfg', {}).get('dist_cfg', {}).get('timeout', 1800))


def init_process_group(launcher: str, timeout: float = 1800) -> LaunchFacts | None:
    """Join the processes of a job, if there are several, with nccl on CUDA and else gloo.

    Args:
        launcher: ``none`` (one process, nothing is started), ``pytorch`` (torchrun) or ``slurm``.
        timeout: Seconds after which a collective that never completes is an error.

    Raises:
        LaunchError: see :func:`launch_facts`; or the host and port cannot be reached, or this
            machine has fewer GPUs than processes.
    """
    facts = launch_facts(launcher)
    if facts is None:
        return None
    import torch
    import torch.distributed as dist

    facts.export()
    if dist.is_initialized():
        return facts
    # Here and not in mmengine, whose set-up calls torch.cuda.set_device without a driver, too; a
    # runner that finds a group leaves it as it is.
    backend = 'nccl' if torch.cuda.is_available() else 'gloo'
    if backend == 'nccl':
        _choose_gpu(facts.local_rank)
    try:
        dist.init_process_group(backend, timeout=timedelta(seconds=timeout))
    except (dist.DistError, ValueError, OSError) as error:
        where = f'{facts.master_addr}:{facts.master_port}'
        raise LaunchError(
            f'rank {facts.rank} of {facts.world_size} cannot meet the others at {where}: {error}'
        ) from error
    return facts


def leave_process_group() -> None:
    """Leave the processes of a job, if this one is among several.

    Call it once nothing is left of the runner but cycles: whoever holds the group, as a wrapped
    model does, keeps its threads, and one that outlives the interpreter may abort the process.
    """
    import torch.distributed as dist

    if dist.is_available() and dist.is_initialized():
        gc.collect()  # runner, hooks and model refer to each other
        dist.destroy_process_group()


def _choose_gpu(local_rank: int) -> None:
    import torch

    count = torch.cuda.device_count()
    if count == 1:  # SLURM may show each task only its own GPU
        local_rank = 0
    if local_rank >= count:
        raise LaunchError(
            f'local rank {local_rank} has no GPU: this machine shows {count}; '
            'start as many processes per machine as it has GPUs'
        )
    torch.cuda.set_device(local_rank)
