"""Denoising diffusion of vectors: noise schedules, the training loss, and sampling steps.

Source: Improved DDPM (arXiv 2102.09672); as the loss of a token's pixels: MAR (arXiv 2406.11838).
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

SCHEDULES = ('cosine', 'linear')
BIN = 1 / 255
"""Half the width of a grey level in values from -1 to 1."""


def noise_schedule(kind: str, steps: int) -> Tensor:
    """(``steps``,) share of noise that each step adds, float64.

    Raises:
        ValueError: an unknown kind.
    """
    if kind not in SCHEDULES:
        raise ValueError(f'schedule must be one of {", ".join(SCHEDULES)}, got {kind!r}')
    if kind == 'linear':
        scale = 1000 / steps
        return torch.linspace(1e-4 * scale, 0.02 * scale, steps, dtype=torch.float64, device='cpu')

    def kept(share: float) -> float:
        return math.cos((share + 0.008) / 1.008 * math.pi / 2) ** 2

    betas = [min(1 - kept((i + 1) / steps) / kept(i / steps), 0.999) for i in range(steps)]
    return torch.tensor(betas, dtype=torch.float64, device='cpu')


def respaced_steps(steps: int, respacing: str) -> list[int]:
    """Steps of a chain of ``steps`` that a shorter one keeps, ascending.

    Args:
        respacing: empty: all; ``'ddimN'``: N at a constant stride; numbers with commas: how many
            of each of so many equal sections, the first of which are one longer.

    Raises:
        ValueError: no such stride, or a section of fewer steps than asked for.
    """
    if not respacing:
        return list(range(steps))
    if respacing.startswith('ddim'):
        wanted = int(respacing.removeprefix('ddim'))
        for stride in range(1, steps):
            if len(range(0, steps, stride)) == wanted:
                return list(range(0, steps, stride))
        raise ValueError(f'no constant stride keeps {wanted} of {steps} steps ({respacing!r})')
    counts = [int(count) for count in respacing.split(',')]
    size, longer = divmod(steps, len(counts))
    kept, first = [], 0
    for section, count in enumerate(counts):
        length = size + (section < longer)
        if length < count:
            raise ValueError(f'a section of {length} steps cannot keep {count} ({respacing!r})')
        stride = 1.0 if count <= 1 else (length - 1) / (count - 1)
        place = 0.0
        for _ in range(count):
            # Half to even on a running sum, as published: another way gives other steps.
            kept.append(first + round(place))
            place += stride
        first += length
    return kept


class GaussianDiffusion:
    """A chain that turns vectors into noise, and what is known about going back.

    Args:
        schedule: ``'cosine'`` or ``'linear'``.
        steps: of the full chain.
        respacing: a shorter chain over the same noise levels, see :func:`respaced_steps`.

    Attributes:
        step_map: number in the full chain of each step, which is what a network is told.
        tables: float64 values of each step.
    """

    def __init__(self, schedule: str = 'cosine', steps: int = 1000, respacing: str = '') -> None:
        betas = noise_schedule(schedule, steps)
        self.step_map = respaced_steps(steps, respacing)
        if len(self.step_map) < steps:
            kept = (1 - betas).cumprod(0)[self.step_map]
            betas = 1 - kept / torch.cat([kept.new_ones(1), kept[:-1]])
        self.num_steps = len(betas)
        self.tables = _tables(betas)
        self._by_device = {torch.device('cpu'): self.tables}

    def at(self, name: str, steps: Tensor, width: int = 2) -> Tensor:
        """Values (B, 1, ...) of a table at ``steps`` (B,), float32, of ``width`` axes."""
        if steps.device not in self._by_device:  # copied once, not in every step
            moved = {name: table.to(steps.device) for name, table in self.tables.items()}
            self._by_device[steps.device] = moved
        # Gathered in float64 and rounded once.
        table = self._by_device[steps.device][name]
        return table[steps].float().view(-1, *[1] * (width - 1))

    def add_noise(self, x0: Tensor, steps: Tensor, noise: Tensor) -> Tensor:
        """Vectors (B, C) at ``steps`` (B,) of the chain."""
        kept, added = (
            self.at(f'sqrt_{n}', steps) for n in ('alphas_cumprod', 'one_minus_alphas_cumprod')
        )
        return kept * x0 + added * noise

    def posterior(self, x0: Tensor, noised: Tensor, steps: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log-variance of the step before, with ``x0`` known."""
        first, second = (self.at(f'posterior_mean_coef{i}', steps) for i in (1, 2))
        log_variance = self.at('posterior_log_variance_clipped', steps)
        return first * x0 + second * noised, log_variance

    def denoised(self, noise: Tensor, noised: Tensor, steps: Tensor, clip: bool = False) -> Tensor:
        """Clean vectors of a noise estimate, clipped to -1..1 when asked."""
        scale, shift = (self.at(f'sqrt_{n}_alphas_cumprod', steps) for n in ('recip', 'recipm1'))
        x0 = scale * noised - shift * noise
        return x0.clamp(-1, 1) if clip else x0

    def log_variance(self, share: Tensor, steps: Tensor) -> Tensor:
        """Log-variance between the two bounds, by a network's value of about -1 to 1."""
        low = self.at('posterior_log_variance_clipped', steps)
        high = self.at('log_betas', steps)
        share = (share + 1) / 2
        return share * high + (1 - share) * low

    def losses(
        self, output: Tensor, x0: Tensor, noised: Tensor, steps: Tensor, noise: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Error of the noise estimate and variational bound (bits) of each row, (B,) each.

        Args:
            output: (B, 2 C) noise estimate and variance value.
            x0, noised, noise: (B, C).
            steps: (B,) of this chain.
        """
        estimate, share = output.chunk(2, dim=-1)
        error = (noise - estimate).square().mean(dim=-1)
        # The bound trains the variance alone: through the mean it would disturb the estimate.
        return error, self.bound(estimate.detach(), share, x0, noised, steps)

    def bound(
        self, estimate: Tensor, share: Tensor, x0: Tensor, noised: Tensor, steps: Tensor
    ) -> Tensor:
        """Variational bound (B,) in bits a channel, at step 0 the likelihood of grey levels."""
        true_mean, true_log = self.posterior(x0, noised, steps)
        mean, _ = self.posterior(self.denoised(estimate, noised, steps), noised, steps)
        log = self.log_variance(share, steps)
        divergence = gaussian_divergence(true_mean, true_log, mean, log).mean(dim=-1)
        likelihood = -grey_level_likelihood(x0, mean, 0.5 * log).mean(dim=-1)
        return torch.where(steps == 0, likelihood, divergence) / math.log(2)

    def ancestral_step(
        self,
        output: Tensor,
        noised: Tensor,
        steps: Tensor,
        noise: Tensor,
        temperature: float = 1.0,
        clip: bool = False,
    ) -> tuple[Tensor, Tensor]:
        """The step before, drawn, and the clean vectors it aims at: (B, C) each."""
        estimate, share = output.chunk(2, dim=-1)
        x0 = self.denoised(estimate, noised, steps, clip)
        mean, _ = self.posterior(x0, noised, steps)
        spread = (0.5 * self.log_variance(share, steps)).exp() * (steps != 0)[:, None]
        return mean + spread * noise * temperature, x0

    def implicit_step(
        self,
        output: Tensor,
        noised: Tensor,
        steps: Tensor,
        noise: Tensor,
        eta: float = 0.0,
        clip: bool = False,
    ) -> tuple[Tensor, Tensor]:
        """Take the step by DDIM (arXiv 2010.02502), with nothing drawn where ``eta`` is 0."""
        x0 = self.denoised(output.chunk(2, dim=-1)[0], noised, steps, clip)
        scale, shift = (self.at(f'sqrt_{n}_alphas_cumprod', steps) for n in ('recip', 'recipm1'))
        # Of the clipped vectors: the estimate that would give these.
        estimate = (scale * noised - x0) / shift
        kept = self.at('alphas_cumprod', steps)
        before = self.at('alphas_cumprod_prev', steps)
        sigma = eta * ((1 - before) / (1 - kept)).sqrt() * (1 - kept / before).sqrt()
        mean = before.sqrt() * x0 + (1 - before - sigma**2).sqrt() * estimate
        return mean + (steps != 0)[:, None] * sigma * noise, x0


def _tables(betas: Tensor) -> dict[str, Tensor]:
    kept = (1 - betas).cumprod(0)
    before = torch.cat([kept.new_ones(1), kept[:-1]])
    variance = betas * (1 - before) / (1 - kept)
    # At the first step the posterior is a point, whose logarithm there is not.
    spread = torch.cat([variance[1:2], variance[1:]]) if len(betas) > 1 else variance
    return dict(
        betas=betas,
        log_betas=betas.log(),
        alphas_cumprod=kept,
        alphas_cumprod_prev=before,
        alphas_cumprod_next=torch.cat([kept[1:], kept.new_zeros(1)]),
        sqrt_alphas_cumprod=kept.sqrt(),
        sqrt_one_minus_alphas_cumprod=(1 - kept).sqrt(),
        log_one_minus_alphas_cumprod=(1 - kept).log(),
        sqrt_recip_alphas_cumprod=(1 / kept).sqrt(),
        sqrt_recipm1_alphas_cumprod=(1 / kept - 1).sqrt(),
        posterior_variance=variance,
        posterior_log_variance_clipped=spread.log(),
        posterior_mean_coef1=betas * before.sqrt() / (1 - kept),
        posterior_mean_coef2=(1 - before) * (1 - betas).sqrt() / (1 - kept),
    )


def gaussian_divergence(mean1: Tensor, log1: Tensor, mean2: Tensor, log2: Tensor) -> Tensor:
    """Kullback-Leibler divergence (nats) of two normal laws, by mean and log-variance."""
    ratio = (log1 - log2).exp()
    distance = (mean1 - mean2).square() * (-log2).exp()
    return 0.5 * (-1 + log2 - log1 + ratio + distance)


def grey_level_likelihood(x: Tensor, mean: Tensor, log_scale: Tensor) -> Tensor:
    """Log-probability (nats) of grey levels -1..1, 2 / 255 wide, under a normal law.

    The outermost levels have the tails.  The cumulative law is a tanh approximation.
    """
    scale = (-log_scale).exp()
    above, below = _normal_cdf(scale * (x - mean + BIN)), _normal_cdf(scale * (x - mean - BIN))
    inside = above - below
    probability = torch.where(x < -0.999, above, torch.where(x > 0.999, 1 - below, inside))
    return probability.clamp(min=1e-12).log()


def _normal_cdf(x: Tensor) -> Tensor:
    return 0.5 * (1 + torch.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))


def guided(output: Tensor, scale: float) -> Tensor:
    """Move noise estimates away from the unconditional ones: the same in both halves.

    Args:
        output: (2 B, 2 C), the conditional half first; its variance values stay.
        scale: 1 gives the conditional estimate.
    """
    noise, share = output.chunk(2, dim=-1)
    conditional, unconditional = noise.chunk(2)
    noise = unconditional + scale * (conditional - unconditional)
    return torch.cat([noise.repeat(2, 1), share], dim=-1)


def steps_backwards(diffusion: GaussianDiffusion) -> Sequence[int]:
    """Steps of a chain from pure noise on."""
    return range(diffusion.num_steps - 1, -1, -1)
