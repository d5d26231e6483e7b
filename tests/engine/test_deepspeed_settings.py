"""DeepSpeed's settings are the published ones, and nothing is left to its defaults."""

import json
from pathlib import Path

import pytest

from internvideo.engine.strategies.deepspeed_settings import CPU_BUCKET, deepspeed_config

FACTS = json.loads(Path(__file__).with_name('deepspeed_configs.json').read_text())['configs']
# The optimiser is the config's, in torch; progress lines are the runner's; the rest is off.
NOT_OURS = ('optimizer', 'steps_per_print', 'amp', 'flops_profiler')
OURS = ('gradient_accumulation_steps', 'zero_force_ds_cpu_optimizer', 'steps_per_print')


def arguments(name, facts):
    recipe, stage, precision = name.split()[:3]
    zero = facts.get('zero_optimization', {})
    micro = facts['train_micro_batch_size_per_gpu']
    return dict(
        stage=int(stage[-1]),
        micro_batch_size=micro,
        world_size=facts['train_batch_size'] // micro,
        precision=precision,
        gradient_clipping=facts.get('gradient_clipping', 0.0),
        recipe=recipe,
        offload_optimizer='offload_optimizer' in zero,
        offload_param='offload_param' in zero,
    )


def settings(config, left_out):
    """What ``config`` says, without what it switches off."""
    kept = {key: value for key, value in config.items() if key not in left_out}
    for name in ('bf16', 'fp16'):
        if not kept.get(name, {}).get('enabled'):
            kept.pop(name, None)
    zero = kept.pop('zero_optimization', {})
    kept['zero'] = {key: value for key, value in zero.items() if key != 'cpu_offload'}
    kept.setdefault('gradient_clipping', 0.0)
    kept['zero_allow_untested_optimizer'] = True
    return kept


@pytest.mark.parametrize('name', FACTS)
def test_published_settings(name):
    facts = FACTS[name]
    config = deepspeed_config(**arguments(name, facts))
    assert settings(config, OURS) == settings(facts, NOT_OURS)
    assert facts['optimizer']['adam_w_mode']


@pytest.mark.parametrize('stage', range(4))
def test_nothing_numeric_is_left_to_defaults(stage):
    config = deepspeed_config(stage, on_cpu=True, zero=dict(sub_group_size=7))
    assert config['gradient_clipping'] == 0.0
    assert not config['bf16']['enabled'] and not config['fp16']['enabled']
    zero = config.get('zero_optimization', dict(reduce_bucket_size=1, sub_group_size=7))
    assert zero['reduce_bucket_size'] <= CPU_BUCKET and zero['sub_group_size'] == 7


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        (dict(stage=4), 'stage must be'),
        (dict(stage=1, precision='int8'), 'precision must be'),
        (dict(stage=1, recipe='x'), 'recipe must be'),
        (dict(stage=2, offload_param=True), 'offload_param needs stage 3'),
        (dict(stage=0, offload_optimizer=True), 'offload_optimizer needs'),
    ],
)
def test_what_cannot_be(changes, message):
    with pytest.raises(ValueError, match=message):
        deepspeed_config(**changes)
