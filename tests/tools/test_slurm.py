"""The launch scripts under a real SLURM: two nodes, preemption, requeue, cancelling, arrays."""

import json
import os
import subprocess
import sys
import time

import pytest

from internvideo.engine.slurm import requeue
from tests.engine.small_run import assert_equal_states, final_state
from tests.faults.injection import EPOCHS, FAULT, GLOBAL_BATCH, ROOT, prepare_recipe
from tests.tools.slurm_cluster import Cluster, why_impossible

TRAIN = ROOT / 'tools/slurm_train.sh'
BATCH = ROOT / 'tools/slurm/train.sbatch'
OPTIONS = ('--cfg-options', f'train_dataloader.batch_size={GLOBAL_BATCH // 2}')


@pytest.fixture(scope='module')
def cluster():
    reason = why_impossible()
    if reason:
        pytest.skip(reason)
    with Cluster() as started:
        yield started


@pytest.fixture(scope='module')
def recipe(tmp_path_factory):
    folder = tmp_path_factory.mktemp('recipe')
    data = os.environ.get('INTERNVIDEO2_DATA_PATH')
    prepare_recipe(folder)
    os.environ.pop('INTERNVIDEO2_DATA_PATH')
    if data is not None:
        os.environ['INTERNVIDEO2_DATA_PATH'] = data
    return folder


def environment(recipe, fault='-1 0 none 0'):
    facts = dict(MASTER_ADDR='127.0.0.1', PYTHON=sys.executable, PYTHONPATH=str(ROOT))
    facts |= dict(
        OMP_NUM_THREADS='1', OMP_WAIT_POLICY='PASSIVE', INTERNVIDEO2_DATA_PATH=str(recipe)
    )
    return facts | {FAULT: fault, 'DRAWN_SAMPLES': str(recipe / 'drawn')}


@pytest.fixture(scope='module')
def undisturbed(cluster, recipe):
    """Two tasks on two nodes, started by the launch script itself."""
    work_dir = recipe / 'whole'
    output = cluster.call(
        TRAIN, 'low', 'whole', recipe / 'config.py', '--work-dir', work_dir, *OPTIONS,
        GPUS='2', GPUS_PER_NODE='0', CPUS_PER_TASK='1', SRUN_ARGS='--nodes=2',
        **environment(recipe),
    )  # fmt: skip
    assert (work_dir / f'epoch_{EPOCHS}.pth').exists(), output
    assert 'strategy DDP: 2 process(es)' in output
    return work_dir


def submit(cluster, recipe, work_dir, fault):
    placement = ['--partition=low', '--nodes=2', '--ntasks=2', '--cpus-per-task=1']
    return cluster.submit(
        *placement, '--job-name=video', f'--output={work_dir}.out', f'--chdir={ROOT}',
        BATCH, recipe / 'config.py', '--work-dir', work_dir, *OPTIONS, **environment(recipe, fault),
    )  # fmt: skip


def wait_for(file, text, seconds=120):
    deadline = time.monotonic() + seconds
    while not file.exists() or text not in file.read_text():
        assert time.monotonic() < deadline, file.read_text() if file.exists() else 'no output'
        time.sleep(0.1)


@pytest.mark.slow
@pytest.mark.alone
def test_preempted_job_comes_back_and_ends_the_same(cluster, recipe, undisturbed):
    work_dir, output = recipe / 'preempted', recipe / 'preempted.out'
    job = submit(cluster, recipe, work_dir, '0 3 hold 60')
    wait_for(output, 'Epoch(train) [1][2/4]')
    start = time.monotonic()
    urgent = cluster.submit('--partition=high', '--nodes=2', '--wrap=srun sleep 1')
    wait_for(output, f'job {job} is requeued')
    assert time.monotonic() - start < 10
    cluster.wait_for(urgent, 'COMPLETED')
    cluster.wait_for(job, 'COMPLETED')
    text = output.read_text()
    assert 'stopped by SIGUSR1; state saved in' in text
    assert 'epoch_0_iter_3.pth: epoch 0, batch 3 of 4' in text
    assert_equal_states(final_state(work_dir, EPOCHS), final_state(undisturbed, EPOCHS))


@pytest.mark.slow
@pytest.mark.alone
def test_cancelled_job_saves_and_stays_away(cluster, recipe):
    output = recipe / 'cancelled.out'
    job = submit(cluster, recipe, recipe / 'cancelled', '0 2 hold 60')
    wait_for(output, 'Epoch(train) [1][1/4]')
    time.sleep(1)
    cluster.call('scancel', job)
    cluster.wait_for(job, 'CANCELLED')
    assert 'stopped by SIGTERM; state saved in' in output.read_text()
    assert 'no requeue is asked for' in output.read_text()
    assert (recipe / 'cancelled/epoch_0_iter_2.pth').exists()


@pytest.mark.slow
@pytest.mark.alone
def test_array_shares_a_test(cluster, recipe, undisturbed):
    folder, template = recipe / 'shares', ROOT / 'tools/slurm/test.sbatch'
    job = cluster.submit(
        '--array=0-1', f'--output={folder}-%a.out', f'--chdir={ROOT}', template,
        recipe / 'config.py', undisturbed / f'epoch_{EPOCHS}.pth', folder, **environment(recipe),
    )  # fmt: skip
    for share in (0, 1):
        cluster.wait_for(f'{job}_{share}', 'COMPLETED')
    command = [
        sys.executable,
        ROOT / 'tools/analysis/merge_predictions.py',
        '--out',
        recipe / 'all.json',
    ]
    done = subprocess.run(
        [*command, *folder.glob('part-*.json')], capture_output=True, text=True, check=True
    )
    assert 'num_videos: 5' in done.stdout
    rows = [row['sample_index'] for row in json.loads((recipe / 'all.json').read_text())]
    assert rows == list(range(5))


def test_nothing_is_asked_outside_slurm():
    assert requeue({}) == ''


def test_no_scontrol_is_needed(monkeypatch):
    monkeypatch.setenv('PATH', '')
    assert 'there is no scontrol here' in requeue(dict(SLURM_JOB_ID='7'))


@pytest.mark.parametrize('template', sorted((ROOT / 'tools/slurm').glob('*.sbatch')))
def test_templates_say_how_they_are_used(template):
    done = subprocess.run(['bash', template], capture_output=True, text=True)
    assert done.returncode == 2
    assert 'usage: sbatch' in done.stderr
