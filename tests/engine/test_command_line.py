"""`--cfg-options`: what a key may be, and what is said when it is not."""

import pytest
from mmengine.config import Config

from internvideo.engine.command_line import (
    UsageError,
    apply_options,
    check_field_names,
    split_option,
)
from tests.paths import CONFIGS

CONFIG = CONFIGS / 'internvideo2' / 'S14_k400.py'


@pytest.fixture(scope='module')
def config():
    return Config.fromfile(CONFIG)


def changed(config, option):
    config = config.copy()
    apply_options(config, dict([split_option(option)]))
    return config


@pytest.mark.parametrize(
    ('option', 'value_of'),
    [
        ('train_dataloader.batch_size=4', lambda c: c.train_dataloader.batch_size == 4),
        (
            'train_dataloader.dataset.pipeline.1.size=96',
            lambda c: c.train_dataloader.dataset.pipeline[1].size == 96,
        ),
        ('model.backbone.attn_backend=sdpa', lambda c: c.model.backbone.attn_backend == 'sdpa'),
        ('train_dataloader.prefetch_factor=4', lambda c: c.train_dataloader.prefetch_factor == 4),
        ('optim_wrapper.accumulative_counts=2', lambda c: c.optim_wrapper.accumulative_counts == 2),
        ('compile=True', lambda c: c.compile is True),
        ('+note=mine', lambda c: c.note == 'mine'),
    ],
)
def test_keys_that_exist_or_that_the_class_takes_are_set(config, option, value_of):
    assert value_of(changed(config, option))


@pytest.mark.parametrize(
    ('option', 'message'),
    [
        ('model.backbone.atn_backend=sdpa', "no 'model.backbone.atn_backend'"),
        ('modell.type=X', "no 'modell'; did you mean model"),
        ('train_cfg.max_epoch=3', 'did you mean train_cfg.max_epochs'),
        ('train_dataloader.dataset.pipeline.9.size=96', "no 'train_dataloader.dataset.pipeline.9'"),
        ('batch_size', 'not of the form KEY=VALUE'),
        ('model.backbone.arch=dict(depth=2,embed_dim=8)', 'model.backbone.arch.FIELD=VALUE'),
    ],
)
def test_keys_that_lead_nowhere_are_named(config, option, message):
    with pytest.raises(UsageError, match=message.replace('[', r'\[')):
        changed(config, option)


@pytest.mark.parametrize(
    ('name', 'meant'),
    [('trian_cfg', 'train_cfg'), ('optim_wraper', 'optim_wrapper'), ('data_root', None)],
)
def test_mistyped_fields_of_the_runner_are_named(config, name, meant):
    config = config.copy()
    check_field_names(config, CONFIG)
    config[name] = dict(max_epochs=1)
    if meant is None:
        return check_field_names(config, CONFIG)
    with pytest.raises(UsageError, match=f"S14_k400.py: .* no field '{name}'; .* mean {meant}"):
        check_field_names(config, CONFIG)
