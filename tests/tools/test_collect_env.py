import os
import subprocess
import sys

import torch

from tests.tools.test_cli import ROOT


def test_says_what_matters():
    environ = dict(os.environ, SLURM_JOB_ID='7', SECRET_TOKEN='hidden')
    command = [sys.executable, 'tools/analysis/collect_env.py']
    done = subprocess.run(command, cwd=ROOT, env=environ, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    facts = dict(line.split(': ', 1) for line in done.stdout.splitlines())
    assert facts['torch'] == torch.__version__.split('+')[0] or facts['torch'] == torch.__version__
    assert facts['SLURM_JOB_ID'] == '7'
    assert facts['apex'] == 'none'
    assert 'hidden' not in done.stdout
