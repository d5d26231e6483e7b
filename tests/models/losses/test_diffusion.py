"""Diffusion chains against the laws that they are made of."""

import math

import pytest
import torch
from torch.distributions import Normal, kl_divergence

from internvideo.models.losses.diffusion import (
    GaussianDiffusion,
    gaussian_divergence,
    grey_level_likelihood,
    guided,
    noise_schedule,
    respaced_steps,
)


@pytest.fixture(scope='module')
def chain():
    return GaussianDiffusion('cosine', 100)


@pytest.mark.parametrize(
    ('respacing', 'kept'),
    [
        ('', list(range(10))),
        ('ddim5', [0, 2, 4, 6, 8]),
        ('4', [0, 3, 6, 9]),
        ('2,3', [0, 4, 5, 7, 9]),
        ('1,1,1', [0, 4, 7]),
    ],
)
def test_steps_that_a_shorter_chain_keeps(respacing, kept):
    assert respaced_steps(10, respacing) == kept


@pytest.mark.parametrize(
    ('respacing', 'word'), [('ddim7', 'stride'), ('6,2', 'section'), ('11', 'section')]
)
def test_impossible_respacing_is_refused(respacing, word):
    with pytest.raises(ValueError, match=word):
        respaced_steps(10, respacing)


def test_an_unknown_schedule_is_refused():
    with pytest.raises(ValueError, match='schedule'):
        noise_schedule('square', 10)


@pytest.mark.parametrize('schedule', ['cosine', 'linear'])
def test_a_respaced_chain_has_the_noise_levels_of_the_full_one(schedule):
    full, short = GaussianDiffusion(schedule, 100), GaussianDiffusion(schedule, 100, '7')
    kept = full.tables['alphas_cumprod'][short.step_map]
    torch.testing.assert_close(short.tables['alphas_cumprod'], kept)


def test_the_posterior_is_that_of_bayes(chain):
    """Of x_{t-1}, whose law given x_0 is known, and of x_t given x_{t-1}."""
    steps = torch.tensor([1, 40, 99])
    x0, noised = torch.randn(2, 3, 1).double()
    tables = {name: table[steps][:, None] for name, table in chain.tables.items()}
    before, beta = tables['alphas_cumprod_prev'], tables['betas']
    # A product of two normal laws in x_{t-1}: precisions add.
    precision = 1 / (1 - before) + (1 - beta) / beta
    mean = (before.sqrt() * x0 / (1 - before) + (1 - beta).sqrt() * noised / beta) / precision
    found, log_variance = chain.posterior(x0, noised, steps)
    torch.testing.assert_close(found, mean, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(log_variance.exp(), (1 / precision).float(), rtol=1e-5, atol=0)


def test_the_true_noise_gives_back_the_clean_vector(chain):
    steps = torch.tensor([0, 50, 90])
    x0, noise = torch.randn(2, 3, 4)
    noised = chain.add_noise(x0, steps, noise)
    torch.testing.assert_close(chain.denoised(noise, noised, steps), x0, rtol=1e-3, atol=1e-4)


def test_divergence_is_that_of_normal_laws():
    mean1, log1, mean2, log2 = torch.randn(4, 10)
    laws = Normal(mean1, (0.5 * log1).exp()), Normal(mean2, (0.5 * log2).exp())
    expected = kl_divergence(*laws)
    found = gaussian_divergence(mean1, log1, mean2, log2)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


def test_likelihood_of_grey_levels_is_that_of_a_normal_law_and_sums_to_one():
    levels = torch.linspace(-1, 1, 256)
    mean, log_scale = torch.tensor(0.3), torch.tensor(-1.5)
    found = grey_level_likelihood(levels, mean, log_scale).exp()
    assert float(found.sum()) == pytest.approx(1, abs=1e-3)
    law = Normal(mean, log_scale.exp())
    inside = law.cdf(levels[1:-1] + 1 / 255) - law.cdf(levels[1:-1] - 1 / 255)
    torch.testing.assert_close(found[1:-1], inside, rtol=0.03, atol=1e-5)
    torch.testing.assert_close(found[-1], 1 - law.cdf(levels[-1] - 1 / 255), rtol=0.05, atol=1e-4)


def test_the_bound_trains_the_variance_alone(chain):
    output = torch.randn(3, 8, requires_grad=True)
    steps = torch.tensor([0, 3, 70])
    x0, noise = torch.randn(2, 3, 4)
    noised = chain.add_noise(x0, steps, noise)
    error, bound = chain.losses(output, x0, noised, steps, noise)
    (grad,) = torch.autograd.grad(bound.sum(), output, retain_graph=True)
    assert not grad[:, :4].any() and grad[:, 4:].any()
    torch.testing.assert_close(error, (noise - output[:, :4]).square().mean(1))


def test_the_bound_vanishes_for_the_true_noise_and_variance(chain):
    steps = torch.tensor([2, 60])
    x0, noise = torch.randn(2, 2, 4)
    noised = chain.add_noise(x0, steps, noise)
    bound = chain.bound(noise, -torch.ones(2, 4), x0, noised, steps)
    torch.testing.assert_close(bound, torch.zeros(2), rtol=0, atol=1e-4)


def test_a_step_without_noise_follows_the_chain_of_the_true_noise(chain):
    """With the noise known, DDIM at eta 0 walks the noised vectors of one noise."""
    x0, noise = torch.rand(1, 4) * 2 - 1, torch.randn(1, 4)
    steps = torch.tensor([60])
    noised = chain.add_noise(x0, steps, noise)
    output = torch.cat([noise, torch.zeros(1, 4)], dim=1)
    found, _ = chain.implicit_step(output, noised, steps, torch.randn(1, 4))
    expected = chain.add_noise(x0, steps - 1, noise)
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-4)


def test_the_last_step_draws_nothing(chain):
    steps = torch.zeros(2, dtype=torch.long)
    output, noised = torch.randn(2, 8), torch.randn(2, 4)
    for step in (chain.ancestral_step, chain.implicit_step):
        results = [step(output, noised, steps, torch.randn(2, 4))[0] for _ in range(2)]
        assert torch.equal(*results)


def test_guidance_moves_the_noise_and_keeps_the_variance():
    output = torch.randn(4, 6)
    assert torch.equal(guided(output, 1.0)[:2, :3], output[:2, :3] * 1.0) or torch.allclose(
        guided(output, 1.0)[:2], output[:2]
    )
    found = guided(output, 3.0)
    expected = output[2:, :3] + 3 * (output[:2, :3] - output[2:, :3])
    torch.testing.assert_close(found[:, :3], expected.repeat(2, 1))
    assert torch.equal(found[:, 3:], output[:, 3:])


def test_noise_levels_of_the_cosine_schedule():
    kept = (1 - noise_schedule('cosine', 1000)).cumprod(0)
    start = math.cos(0.008 / 1.008 * math.pi / 2) ** 2
    expected = math.cos((0.5 + 0.008) / 1.008 * math.pi / 2) ** 2 / start
    assert float(kept[499]) == pytest.approx(expected, rel=1e-9)
