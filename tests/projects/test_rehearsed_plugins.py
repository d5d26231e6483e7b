"""Plug-ins that nobody foresaw: trained, validated, saved and rehearsed as they are."""

import json
import shutil
from pathlib import Path

import pytest
from mmengine.config import Config

from internvideo.rehearsal.examples import MediaCache
from internvideo.rehearsal.options import Options
from internvideo.rehearsal.rehearsal import rehearse, rehearse_config
from tests.paths import ROOT

PLUGIN = Path(__file__).parent / 'localization_plugin'


def rows():
    """Twelve sequences to train on, eight to validate with, one segment each."""
    segments = [[[index % 5, index % 5 + 6, 1 + index % 3]] for index in range(20)]
    splits = ['train'] * 12 + ['val'] * 8
    return [
        dict(split=split, seed=seed, segments=each)
        for seed, (split, each) in enumerate(zip(splits, segments, strict=True))
    ]


@pytest.fixture
def plugin(tmp_path, monkeypatch):
    """A copy of the plug-in, its annotations beside it, in the working directory."""
    shutil.copytree(PLUGIN, tmp_path / 'plugin', ignore=shutil.ignore_patterns('__pycache__'))
    (tmp_path / 'plugin' / 'segments.json').write_text(json.dumps(rows()))
    monkeypatch.chdir(tmp_path / 'plugin')
    return tmp_path / 'plugin'


@pytest.fixture(scope='module')
def cache(tmp_path_factory):
    return MediaCache(tmp_path_factory.mktemp('media'))


def changed(plugin, cache, **fields):
    config = Config.fromfile(plugin / 'config.py', import_custom_modules=False)
    for key, value in fields.items():
        config.merge_from_dict({key.replace('__', '.'): value})
    return rehearse_config(config, str(plugin / 'config.py'), Options(), cache)


@pytest.mark.slow
def test_a_plugin_for_temporal_localisation_has_no_fault(plugin, cache):
    result = rehearse(plugin / 'config.py', Options(), cache)
    assert result.faults == [] and result.passed, result.trial.details
    assert result.trial.ran and result.trial.steps == 4
    assert 'loc/step_accuracy' in result.trial.metrics
    assert any('SegmentDataset offers no example rows' in note for note in result.notes)
    assert any('the model is tried as it is' in note for note in result.trial.notes)


@pytest.mark.slow
def test_a_plugin_whose_files_are_elsewhere_has_no_fault(plugin, cache):
    (plugin / 'segments.json').unlink()
    result = rehearse(plugin / 'config.py', Options(), cache)
    assert result.faults == [] and result.passed
    assert not result.trial.ran and 'not here' in result.trial.reason
    missing = [finding.field for finding in result.findings if finding.is_missing_file]
    assert 'train_dataloader.dataset.ann_file' in missing


@pytest.mark.slow
@pytest.mark.parametrize(
    ('fields', 'field'),
    [
        (dict(model__num_clases=4), 'model.num_clases'),
        (dict(val_evaluator__type='StepAcuracy'), 'val_evaluator.type'),
        (dict(default_hooks__checkpoint__save_best='loc/top1'), 'save_best'),
        (dict(train_dataloader__dataset__spilt='train'), 'train_dataloader.dataset.spilt'),
    ],
)
def test_mistakes_in_a_plugin_are_found_and_named(plugin, cache, fields, field):
    result = changed(plugin, cache, **fields)
    assert not result.passed
    assert any(field in finding.field for finding in result.faults), result.findings


@pytest.mark.slow
def test_the_example_project_has_no_fault(cache):
    path = ROOT / 'projects/example_project/configs/grouped_synthetic.py'
    result = rehearse(path, Options(), cache)
    assert result.passed and result.trial.ran, result.findings


OWN_STEP = """
from mmengine.optim import DefaultOptimWrapperConstructor
from internvideo.registry import MODELS, OPTIM_WRAPPER_CONSTRUCTORS
from localization_plugin import SegmentLocalizer


@MODELS.register_module(force=True)
class SteppingLocalizer(SegmentLocalizer):
    def train_step(self, data, optim_wrapper):
        losses = self.loss_of(**self.data_preprocessor(data, True))
        optim_wrapper.update_params(losses)
        return dict(loss=losses)

    def loss_of(self, **batch):
        return super().forward(**batch, mode='loss')['loss']

    def forward(self, *args, mode='tensor', **kwargs):
        assert mode != 'loss', 'has no such mode'
        return super().forward(*args, mode=mode, **kwargs)


@OPTIM_WRAPPER_CONSTRUCTORS.register_module(force=True)
class WarmConstructor(DefaultOptimWrapperConstructor):
    def __init__(self, optim_wrapper_cfg, paramwise_cfg=None):
        optim_wrapper_cfg.pop('heat')
        super().__init__(optim_wrapper_cfg, paramwise_cfg)
"""


@pytest.mark.slow
def test_a_step_and_keys_of_ones_own_are_no_fault(plugin, cache):
    (plugin / 'own_step.py').write_text(OWN_STEP)
    config = (plugin / 'config.py').read_text()
    config = config.replace("'localization_plugin'", "'localization_plugin', 'own_step'")
    config += "\nmodel['type'] = 'SteppingLocalizer'\n"
    config += "optim_wrapper.update(constructor='WarmConstructor', heat=3)\n"
    (plugin / 'config.py').write_text(config)
    result = rehearse(plugin / 'config.py', Options(), cache)
    assert result.faults == [] and result.passed, (result.findings, result.trial)
    assert any('train_step of its own' in note for note in result.notes)
