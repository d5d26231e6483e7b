"""The diffusion decoder: its tables, its loss, single steps backwards, guidance."""

from typing import Any

import torch
from torch import Tensor

from internvideo.models.losses.diffusion import GaussianDiffusion, guided
from internvideo.models.necks.denoising_decoder import DenoisingDecoder, timestep_embedding
from internvideo.verification.cases import Case, CaseError, RunEnv
from internvideo.verification.facts import Facts
from internvideo.verification.runner_registry import Result, parity_runner

from .common import fill_module, given, gradients


@parity_runner('internvideo_next/diffusion_tables')
def run_tables(case: Case, env: RunEnv) -> Result:
    """Tables of full and respaced chains, float64."""
    outputs, names = {}, case.facts['tables']
    for facts in case.facts['cases']:
        chain = GaussianDiffusion(facts['schedule'], facts['steps'], facts['respacing'])
        name = facts['name']
        outputs |= {f'{name}_{table}64': chain.tables[table] for table in names}
        outputs[f'{name}_timestep_map'] = torch.tensor(chain.step_map)
    return Result(outputs)


@parity_runner('internvideo_next/timestep_embedding')
def run_embedding(case: Case, env: RunEnv) -> Result:
    """Sinusoids of steps."""
    facts = case.facts
    steps = torch.tensor(facts['timesteps'], device=env.device)
    return Result(dict(embedding=timestep_embedding(steps, facts['dim'], facts['max_period'])))


@parity_runner('internvideo_next/diffusion_loss')
def run_loss(case: Case, env: RunEnv) -> Result:
    """Loss terms with gradients, and every listed step of sampling."""
    facts = case.facts
    decoder = DenoisingDecoder(
        facts['target_channels'],
        facts['z_channels'],
        facts['width'],
        facts['depth'],
        facts['schedule'],
        facts['steps'],
        facts['respacing'],
    )
    fill_module(decoder, case, env)
    steps = given_steps(case, env)
    target, noise = given_target(case, env), given(case, 'noise', env)
    condition, chain = given(case, 'z', env), decoder.training_chain
    noised = chain.add_noise(target, steps, noise)
    error, bound, output = decoder.terms(target, condition, steps, noise)
    loss = decoder(target, condition, None, steps, noise)
    mask = given(case, 'mask', env)
    outputs = dict(
        x_t=noised,
        net=output,
        mse=error,
        vb=bound,
        loss=loss,
        loss_masked=decoder(target, condition, mask, steps, noise),
    )
    outputs |= gradients(decoder, loss, facts['grad_of'])
    with torch.no_grad():
        for one in facts['reverse_steps']:
            outputs |= _reverse_step(
                one, decoder, noised, condition, given(case, 'step_noise', env)
            )
        facts.require(cfg_scales=[one['scale'] for one in facts['guidance']])
        # The conditional half of the rows stands twice; steps and conditions keep their halves.
        rows = noised[: len(noised) // 2].repeat(2, 1)
        raw = decoder.net(rows, steps, condition)
        for one in facts['guidance']:
            outputs[one['name']] = guided(raw, one['scale'])
    return Result(outputs)


def given_steps(case: Case, env: RunEnv) -> Tensor:
    """Steps of the facts, checked against the drawn ones that they come from."""
    facts = case.facts
    steps, drawn = torch.tensor(facts['timesteps']), given(case, 'timesteps', env).cpu().clone()
    fixed = facts.get('fixed_timesteps') or [0]
    drawn[: len(fixed)] = torch.tensor(fixed)
    if not torch.equal(steps, drawn):
        raise CaseError('timesteps are neither the drawn nor the fixed ones')
    return steps.to(env.device)


def given_target(case: Case, env: RunEnv) -> Tensor:
    """The targets, clamped and set as the facts say."""
    target, clamp = given(case, 'target', env).clone(), case.facts['target_clamp']
    rows = list(clamp['rows'])
    target[rows] = target[rows].clamp(clamp['low'], clamp['high'])
    for row, column, value in case.facts['target_set']:
        target[row, column] = value
    return target


def _reverse_step(
    facts: Facts, decoder: DenoisingDecoder, noised: Tensor, condition: Tensor, noise: Tensor
) -> dict[str, Any]:
    chain, index, clip = decoder.sampling_chain, facts['index'], facts['clip_x0']
    steps = torch.full((len(noised),), index, device=noised.device)
    output = decoder.net(noised, torch.full_like(steps, chain.step_map[index]), condition)
    if facts['kind'] == 'p_sample':
        found = chain.ancestral_step(output, noised, steps, noise, facts['temperature'], clip)
    elif facts['kind'] == 'ddim':
        found = chain.implicit_step(output, noised, steps, noise, facts['eta'], clip)
    else:
        raise CaseError(f'unknown kind of step {facts["kind"]!r}')
    by_name = dict(sample=found[0], x0=found[1])
    names = facts['outputs']
    return {names[kind]: value for kind, value in by_name.items() if kind in names}
