"""Print facts of this machine for a report: internvideo collect-env."""

import argparse
import importlib.metadata
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

PACKAGES = (
    *('internvideo', 'torch', 'torchvision', 'torchaudio', 'mmengine', 'timm'),
    *('transformers', 'deepspeed', 'flash-attn', 'apex', 'decord', 'torchcodec', 'av'),
    *('numpy', 'opencv-python', 'opencv-python-headless'),
)
VARIABLES = ('SLURM_', 'NCCL_', 'GLOO_', 'TORCH_', 'OMP_', 'CUDA_', 'INTERNVIDEO', 'MASTER_')
GIGABYTE = 1e9


def command(arguments: Sequence[str]) -> int:
    """Print the facts and return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.partition(':')[0])
    parser.parse_args(arguments)
    for name, text in collect().items():
        print(f'{name}: {text}')
    return 0


def collect() -> dict[str, str]:
    """Facts of this process's surroundings, by name."""
    return machine() | packages() | torch_facts() | variables()


def machine() -> dict[str, str]:
    pages = os.sysconf('SC_PHYS_PAGES') * os.sysconf('SC_PAGE_SIZE')
    # A batch system may give a job fewer cores than the machine has.
    usable = len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count()
    return {
        'python': f'{sys.version.split()[0]} at {sys.executable}',
        'system': platform.platform(),
        'cores': f'{usable} usable of {os.cpu_count()}',
        'memory': f'{pages / GIGABYTE:.1f} GB',
        'shared memory': free_space('/dev/shm'),
        'disk here': free_space('.'),
        'revision': output_of('git', '-C', str(Path(__file__).parent), 'describe', '--always',
                              '--dirty'),
        'ffmpeg': output_of('ffmpeg', '-version'),
        'slurm': output_of('sinfo', '--version'),
        'gpus': output_of('nvidia-smi', '--query-gpu=name,memory.total,driver_version',
                          '--format=csv,noheader'),
    }  # fmt: skip


def free_space(folder: str) -> str:
    if not Path(folder).exists():
        return 'none'
    usage = shutil.disk_usage(folder)
    return f'{usage.free / GIGABYTE:.1f} of {usage.total / GIGABYTE:.1f} GB free'


def output_of(*command: str) -> str:
    """Output of a program on one line, or ``none`` without it."""
    try:
        # A SLURM controller or a driver that does not answer must not hang the report.
        done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=True)
    except (OSError, subprocess.SubprocessError):
        return 'none'
    lines = done.stdout.strip().splitlines()
    return lines[0] if command[0] == 'ffmpeg' else '; '.join(lines)


def packages() -> dict[str, str]:
    return {name: version(name) for name in PACKAGES}


def version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return 'none'


def torch_facts() -> dict[str, str]:
    try:
        import torch
    except ImportError as error:
        return {'torch import': str(error)}
    available = torch.cuda.is_available()
    nccl = torch.distributed.is_available() and torch.distributed.is_nccl_available()
    return {
        'cuda': f'{torch.version.cuda}, {"usable" if available else "not usable"}',
        'nccl': '.'.join(map(str, torch.cuda.nccl.version())) if available and nccl else 'none',
        'cpu capability': torch.backends.cpu.get_cpu_capability(),
        'threads': str(torch.get_num_threads()),
    }


def variables() -> dict[str, str]:
    return {name: value for name, value in sorted(os.environ.items()) if name.startswith(VARIABLES)}
