"""A family of cases that a test writes: a linear map, whose facts say how to go wrong."""

import json
import zlib

import numpy as np
import torch

from internvideo.verification.runner_registry import Result, parity_runner

FAMILY = 'tests/linear'


@parity_runner(FAMILY)
def run_linear(case, env):
    """A linear map; what a case forgets to read is read where the runner is not told to skip it."""
    own = dict(weight=torch.zeros(3, 2), table=torch.arange(3.0))
    if case.facts.get('raises'):
        raise RuntimeError('cannot\nrun')
    if case.facts.get('fills', True):
        own = case.fill_tensors(own, env)
    outputs = dict(y=env.tensor(case.role('x')) @ own['weight'].T + own['table'])
    outputs['count'] = torch.tensor([4, case.facts.get('count', 5)])
    for name in case.facts.get('forgets', []):
        del outputs[name]
    expected = dict(params=6, names=['weight'], rate=0.1)
    return Result(outputs, expected)


def normal(name, shape):
    return np.random.RandomState(zlib.crc32(name.encode())).standard_normal(shape)


def write_case(
    folder, name='linear', error=0.0, shape=(4, 3), expected=None, state=None, inputs=(), **facts
):
    """A case whose stored output is off by ``error``."""
    weight = normal('weight', (3, 2)).astype(np.float32) / np.float32(np.sqrt(2))
    x = normal('input:linear.x', (4, 2)).astype(np.float32)
    y = x @ weight.T + np.arange(3) + error
    header = dict(
        family=FAMILY,
        facts=facts,
        state=state or [['weight', [3, 2], 'float32', 'normal'], ['table', [3], 'float32', 'keep']],
        inputs=[dict(name='linear.x', kind='normal', shape=[4, 2]), *inputs],
        outputs=[dict(name='y', shape=shape, stride=5), dict(name='count', shape=[2])],
        rtol=1e-4,
        atol=1e-5,
        expected=expected or dict(params=6, rate=0.1 + 1e-9),
    )
    path = folder / f'{name}.json'
    path.write_text(json.dumps(header))
    np.savez(folder / f'{name}.npz', y=y.reshape(-1)[::5].astype('f4'), count=np.array([4, 5]))
    return path
