"""The text of a run's config is that of mmengine, formatted once."""

import copy

import pytest
from mmengine.config import Config

from internvideo.engine.run_config import RunConfig


@pytest.fixture
def formatted(monkeypatch):
    """How often text was formatted."""
    calls, plain = [], Config.pretty_text.fget

    def counted(config):
        calls.append(config)
        return plain(config)

    monkeypatch.setattr(Config, 'pretty_text', property(counted))
    return calls


def test_text_is_formatted_once_until_something_changes(formatted):
    config = Config(dict(model=dict(type='A', depth=[1, 2]), name='x'))
    run = RunConfig.of(config)
    assert run.pretty_text == config.pretty_text
    assert copy.deepcopy(run).pretty_text == run.dump() == config.pretty_text
    assert len(formatted) == 3  # two of them by the plain config
    run.model.depth[0] = 7
    config.model.depth[0] = 7
    assert run.pretty_text == config.pretty_text
    assert ''.join(run.pretty_text.split()).startswith('model=dict(depth=[7,2')


def test_other_kinds_of_config_stay():
    config = RunConfig(dict(a=1))
    assert RunConfig.of(config) is config
