"""The denoising decoder: where it starts, what it learns, what it refuses."""

import pytest
import torch

from internvideo.models.necks.denoising_decoder import DenoisingDecoder, timestep_embedding


def decoder(**fields):
    torch.manual_seed(0)
    return DenoisingDecoder(**dict(target_dim=3, condition_dim=2, width=32, depth=2) | fields)


@pytest.mark.parametrize('dim', [8, 7])
def test_embedding_of_steps(dim):
    found = timestep_embedding(torch.tensor([0, 5]), dim)
    assert found.shape == (2, dim)
    half = dim // 2
    assert torch.equal(found[0], torch.tensor([1.0] * half + [0.0] * (dim - half)))
    second = 5 * 10000 ** (-1 / half)
    expected = torch.tensor([second]).cos()
    torch.testing.assert_close(found[1, 1:2], expected, rtol=1e-5, atol=1e-6)


def test_it_starts_with_a_noise_estimate_of_zero():
    rows = torch.randn(5, 3), torch.arange(5), torch.randn(5, 2)
    assert not decoder().net(*rows).any()


def test_repeats_weights_and_given_draws():
    model = decoder(repeats=2)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    target, condition = torch.randn(4, 3), torch.randn(4, 2)
    steps, noise = torch.randint(1000, (8,)), torch.randn(8, 3)
    error, bound, _ = model.terms(target.repeat(2, 1), condition.repeat(2, 1), steps, noise)
    rows = error + bound
    torch.testing.assert_close(model(target, condition, steps=steps, noise=noise), rows.mean())
    weights = torch.tensor([1.0, 0, 0, 2])
    expected = (rows.view(2, 4) * weights).sum() / (2 * weights.sum())
    found = model(target, condition, weights, steps, noise)
    torch.testing.assert_close(found, expected)


def test_it_computes_in_float32_under_autocast():
    model = decoder()
    with torch.autocast('cpu', torch.bfloat16):
        loss = model(torch.randn(4, 3).bfloat16(), torch.randn(4, 2).bfloat16())
    assert loss.dtype == torch.float32


@pytest.mark.parametrize('value', [float('nan'), float('inf')])
def test_targets_that_are_no_numbers_are_refused(value):
    target = torch.zeros(2, 3)
    target[1, 2] = value
    with pytest.raises(RuntimeError, match='NaN or infinity'):
        decoder()(target, torch.zeros(2, 2))


def test_impossible_settings_are_refused():
    with pytest.raises(ValueError, match='repeats'):
        decoder(repeats=0)
    with pytest.raises(ValueError, match='schedule'):
        decoder(schedule='none such')


def test_samples_follow_the_condition_after_some_training():
    """Two conditions, two places: what is learnt must come out of the sampling chain."""
    model = decoder(target_dim=1, condition_dim=2, width=48, steps=50, sampling='10')
    places = torch.tensor([[-0.7], [0.7]])
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)
    for _ in range(250):
        kind = torch.randint(2, (64,))
        loss = model(places[kind], torch.eye(2)[kind])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    kind = torch.arange(2).repeat_interleave(16)
    found = model.sample(torch.eye(2)[kind], temperature=0.5, clip=True)
    assert (found - places[kind]).abs().median() < 0.2
    pair = torch.cat([torch.eye(2)[kind], torch.eye(2)[kind]])
    assert model.sample(pair, guidance=1.5).shape == (64, 1)
