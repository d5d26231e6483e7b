"""Requeueing of a SLURM job by itself."""

import os
import re
import shutil
import subprocess
from collections.abc import Mapping

PATIENCE = 8.0  # seconds for the controller to answer, well within any sensible grace time


def requeue(environ: Mapping[str, str] = os.environ) -> str:
    """Ask SLURM to queue this batch job again and return the outcome in words.

    Empty outside SLURM.  A job that SLURM is ending already is left alone: asking would bring back
    one that its owner cancelled, and a preempted one (mode REQUEUE) comes back by itself.
    """
    job = environ.get('SLURM_JOB_ID')
    if not job:
        return ''
    if shutil.which('scontrol') is None:
        return f'there is no scontrol here: job {job} comes back only if SLURM requeues it itself'
    try:
        state = job_state(job)
        if state != 'RUNNING':
            return f'job {job} is being ended by SLURM (state {state}): no requeue is asked for'
        # A job that saves and exits with 0 within its grace time counts as finished: SLURM would
        # not run it again by itself.
        done = _scontrol('requeue', job)
    except (OSError, subprocess.TimeoutExpired) as error:
        return f'job {job} could not be requeued: {error}'
    if done.returncode:
        return f'job {job} could not be requeued: {done.stderr.strip()}'
    return f'job {job} is requeued'


def job_state(job: str) -> str:
    """State of a job such as ``RUNNING``, or an empty text when the controller does not say."""
    found = re.search(r'JobState=(\w+)', _scontrol('show', 'job', job).stdout)
    return found.group(1) if found else ''


def _scontrol(*arguments: str) -> subprocess.CompletedProcess:
    command = ['scontrol', *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)
