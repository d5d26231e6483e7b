import pytest
import torch

from internvideo.engine import runner
from internvideo.engine.distributed import LaunchError, first_host, launch_facts, slurm_port

TORCHRUN = dict(RANK='3', WORLD_SIZE='4', LOCAL_RANK='1', MASTER_ADDR='h', MASTER_PORT='29500')
SLURM = dict(
    SLURM_PROCID='5',
    SLURM_NTASKS='8',
    SLURM_LOCALID='1',
    SLURM_JOB_ID='77',
    SLURM_NNODES='2',
    SLURM_JOB_NODELIST='gpu[03-04]',
)


@pytest.mark.parametrize(
    ('nodelist', 'host'),
    [
        ('n1', 'n1'),
        ('n1,n2', 'n1'),
        ('gpu[03-07,11],login1', 'gpu03'),
        ('rack[2,4]-node[1-3]-x', 'rack2-node1-x'),
        ('a-b.example.org', 'a-b.example.org'),
    ],
)
def test_first_host(nodelist, host):
    assert first_host(nodelist) == host


def test_torchrun_facts():
    facts = launch_facts('pytorch', TORCHRUN)
    assert (facts.rank, facts.world_size, facts.local_rank) == (3, 4, 1)
    environ = {}
    facts.export(environ)
    assert environ == TORCHRUN


def test_slurm_facts():
    facts = launch_facts('slurm', SLURM)
    assert (facts.rank, facts.world_size, facts.local_rank) == (5, 8, 1)
    assert (facts.master_addr, facts.master_port) == ('gpu03', slurm_port(77))
    assert launch_facts('slurm', dict(SLURM, MASTER_ADDR='x')).master_addr == 'x'
    assert launch_facts('slurm', dict(SLURM, SLURM_NNODES='1')).master_addr == '127.0.0.1'


def test_ports_of_neighbouring_jobs_differ():
    assert len({slurm_port(job, step) for job in range(50) for step in ('0', '1')}) == 100


@pytest.mark.parametrize(
    ('launcher', 'environ', 'message'),
    [
        ('pytorch', {}, 'needs the variable RANK: start through torchrun'),
        ('pytorch', dict(TORCHRUN, WORLD_SIZE='four'), "WORLD_SIZE='four' is not a number"),
        ('slurm', {}, 'needs the variable SLURM_PROCID: start through srun'),
        ('mpi', {}, "unknown launcher 'mpi'"),
    ],
)
def test_missing_variables_are_named(launcher, environ, message):
    with pytest.raises(LaunchError, match=message):
        launch_facts(launcher, environ)


@pytest.mark.parametrize(
    ('world_size', 'gpus', 'installed', 'expected'),
    [
        (1, True, True, dict(type='SingleDevice')),
        (4, True, True, dict(type='DeepSpeed', stage=1)),
        (4, True, False, dict(type='DDP')),
        (4, False, True, dict(type='DDP')),
    ],
)
def test_the_automatic_strategy_takes_what_is_there(
    monkeypatch, world_size, gpus, installed, expected
):
    monkeypatch.setattr(runner, 'get_world_size', lambda: world_size)
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: gpus)
    monkeypatch.setattr(runner, 'find_spec', lambda name: installed or None)
    assert runner.automatic_strategy(dict(stage=1)) == expected
    if world_size > 1:
        assert runner.automatic_strategy() == dict(type='DDP')
        options = dict(find_unused_parameters=True)
        assert runner.automatic_strategy(ddp=options) == dict(options, type='DDP')
