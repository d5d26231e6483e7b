"""Registries find every part of the package by themselves, whatever was imported before."""

import subprocess
import sys

import pytest

from internvideo import registry
from internvideo.registry import METRICS, MODELS, Registry

NAMES = [
    ('METRICS', 'internvideo.MeanAveragePrecision'),
    ('PARAM_SCHEDULERS', 'CosineAnnealingLR'),
    ('MODEL_WRAPPERS', 'MMDistributedDataParallel'),
]
HEAVY = ('transformers', 'deepspeed', 'ray', 'gradio', 'matplotlib', 'sklearn', 'wandb')


def run_python(code):
    return subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, timeout=300)


@pytest.mark.parametrize(('kind', 'name'), NAMES)
def test_a_fresh_process_finds_any_name_first(kind, name):
    done = run_python(f'from internvideo.registry import {kind}; print({kind}.get({name!r}))')
    assert name.rpartition('.')[2] in done.stdout, done.stderr


def test_parts_are_cheap_to_import():
    code = (
        'import sys\n'
        'from internvideo import registry as r\n'
        'for kind in vars(r).values():\n'
        '    if isinstance(kind, r.Registry): kind.import_from_location()\n'
        f'print([name for name in {HEAVY!r} if name in sys.modules])'
    )
    done = run_python(code)
    assert done.stdout.strip() == '[]', done.stderr


def test_importing_the_registries_imports_no_part():
    done = run_python(
        'import sys, internvideo.registry\n'
        'print([name for name in sys.modules if name.startswith("internvideo.")])'
    )
    assert done.stdout.strip() == "['internvideo.lean_imports', 'internvideo.registry']", (
        done.stderr
    )


@pytest.mark.parametrize('name', ['AccuracyMetrik', 'internvideo.AccuracyMetrik', 'random'])
def test_an_unknown_name_is_an_error_with_suggestions(name):
    with pytest.raises(KeyError) as error:
        METRICS.build(dict(type=name))
    assert f'{name!r} is not a registered metric' in str(error.value)
    assert 'AccuracyMetric' in str(error.value)
    assert name not in METRICS


@pytest.mark.parametrize(
    ('parts', 'name', 'own'),
    [
        (registry.STRATEGIES, 'DDPStrategy', 'DDP'),
        (registry.STRATEGIES, 'mmengine.SingleDeviceStrategy', 'SingleDevice'),
        (registry.STRATEGIES, 'DeepSpeedStrategy', 'DeepSpeed'),
        (registry.STRATEGIES, 'FSDPStrategy', 'FSDP'),
        (registry.STRATEGIES, 'ColossalAIStrategy', 'DeepSpeed or FSDP'),
        (registry.RUNNERS, 'FlexibleRunner', 'Runner'),
        (registry.RUNNERS, 'mmengine.Runner', 'Runner'),
        (registry.LOOPS, 'EpochBasedTrainLoop', 'TrainLoop'),
        (registry.LOOPS, 'IterBasedTrainLoop', 'TrainLoop, which counts epochs'),
        (registry.LOOPS, 'mmengine.ValLoop', 'ValLoop'),
        (registry.OPTIM_WRAPPERS, 'ApexOptimWrapper', 'AmpOptimWrapper'),
        (registry.OPTIM_WRAPPERS, 'mmengine.AmpOptimWrapper', 'AmpOptimWrapper'),
        (registry.OPTIMIZERS, 'LBFGS', 'one that steps'),
        (registry.DATA_SAMPLERS, 'InfiniteSampler', 'EpochSampler'),
    ],
)
def test_a_part_of_mmengine_that_does_not_fit_names_ours(parts, name, own):
    with pytest.raises(KeyError, match=f"{name}' is mmengine's .*; use {own}"):
        parts.get(name)
    assert name not in parts
    assert name not in parts.known_names()


@pytest.mark.parametrize(
    ('parts', 'name'),
    [
        (registry.RUNNERS, 'Runner'),
        (registry.LOOPS, 'ValLoop'),
        (registry.OPTIM_WRAPPERS, 'AmpOptimWrapper'),
        (registry.HOOKS, 'EarlyStoppingHook'),
        (registry.PARAM_SCHEDULERS, 'CosineAnnealingLR'),
    ],
)
def test_names_that_ours_share_and_parts_that_fit_are_found(parts, name):
    assert name in parts
    assert parts.get(name).__name__ == name


def test_registries_are_children_of_mmengine():
    kinds = [kind for kind in vars(registry).values() if isinstance(kind, Registry)]
    assert {kind.scope for kind in kinds} == {'internvideo'}
    assert MODELS.parent is registry.MMENGINE_MODELS


def test_a_part_that_fails_to_import_fails_every_lookup(tmp_path, monkeypatch):
    (tmp_path / 'broken_parts').mkdir()
    (tmp_path / 'broken_parts' / '__init__.py').write_text('')
    (tmp_path / 'broken_parts' / 'part.py').write_text('import no_such_library')
    monkeypatch.syspath_prepend(tmp_path)
    parts = Registry('part', scope='internvideo', locations=['broken_parts'])
    for _ in range(2):
        with pytest.raises(ModuleNotFoundError, match='no_such_library'):
            parts.get('Anything')
