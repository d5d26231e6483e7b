"""The fused AdamW takes the steps of the plain one."""

import sys
import types

import pytest
import torch

from internvideo.registry import OPTIMIZERS

SETTINGS = dict(lr=1e-2, betas=(0.9, 0.98), eps=1e-6, weight_decay=0.05)


def trained(kind, **options):
    torch.manual_seed(0)
    model = torch.nn.Linear(5, 3)
    groups = [dict(params=[model.weight]), dict(params=[model.bias], weight_decay=0.0)]
    optimizer = OPTIMIZERS.build(dict(type=kind, params=groups, **SETTINGS, **options))
    for _ in range(4):
        optimizer.zero_grad()
        model(torch.ones(2, 5)).square().sum().backward()
        optimizer.step()
    return model


def test_steps_equal_those_of_adamw():
    plain, fused = trained('AdamW'), trained('FusedAdamW')
    torch.testing.assert_close(fused.weight, plain.weight)
    torch.testing.assert_close(fused.bias, plain.bias)


def test_apex_is_asked_for_adamw(monkeypatch):
    asked = {}

    def fused_adam(params, **settings):
        asked.update(settings)
        return torch.optim.SGD(params, lr=settings['lr'])

    monkeypatch.setitem(sys.modules, 'apex', types.ModuleType('apex'))
    stand_in = types.SimpleNamespace(FusedAdam=fused_adam)
    monkeypatch.setitem(sys.modules, 'apex.optimizers', stand_in)
    trained('FusedAdamW', kernel='apex')
    assert asked == dict(SETTINGS, adam_w_mode=True)


@pytest.mark.parametrize(
    ('kernel', 'error', 'message'),
    [('apex', ImportError, 'needs NVIDIA apex'), ('cuda', ValueError, "got 'cuda'")],
)
def test_a_kernel_that_cannot_be_had_is_named(kernel, error, message):
    with pytest.raises(error, match=message):
        trained('FusedAdamW', kernel=kernel)
