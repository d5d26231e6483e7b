"""A decoder that learns the law of a target given a condition, by denoising it row by row."""

import math

import torch
import torch.nn.functional as F
from mmengine.model import BaseModule
from torch import Tensor, nn

from internvideo.models.losses.diffusion import GaussianDiffusion, guided, steps_backwards
from internvideo.registry import MODELS
from internvideo.structures.rehearsal import SmallSizes


def timestep_embedding(steps: Tensor, dim: int, max_period: float = 10_000.0) -> Tensor:
    """(B,) -> (B, ``dim``): cosines, then sines, and a zero column for an odd width."""
    half = dim // 2
    # In float32 throughout, as published: at large steps another rounding shows.  The exponential
    # is rounded from float64, since that of vendors' kernels differs between processors.
    index = torch.arange(half, dtype=torch.float32, device=steps.device)
    frequency = (-math.log(max_period) * index / half).double().exp().float()
    angle = steps[:, None].float() * frequency
    embedding = torch.cat([angle.cos(), angle.sin()], dim=-1)
    return F.pad(embedding, (0, dim % 2))


class TimeEmbedding(nn.Module):
    """Sinusoid of a step, through two linear maps with a SiLU between."""

    def __init__(self, width: int, frequencies: int = 256) -> None:
        super().__init__()
        self.frequencies = frequencies
        self.mlp = nn.Sequential(nn.Linear(frequencies, width), nn.SiLU(), nn.Linear(width, width))

    def forward(self, steps: Tensor) -> Tensor:
        embedding = timestep_embedding(steps, self.frequencies)
        return self.mlp(embedding.to(self.mlp[0].weight.dtype))


class ModulatedBlock(nn.Module):
    """``h + gate * mlp(norm(h) * (1 + scale) + shift)``, the three made of the condition."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.in_ln = nn.LayerNorm(width, eps=1e-6)
        self.mlp = nn.Sequential(nn.Linear(width, width), nn.SiLU(), nn.Linear(width, width))
        self.adaLN_modulation = nn.Sequential(nn.SiLU(), nn.Linear(width, 3 * width))

    def forward(self, h: Tensor, condition: Tensor) -> Tensor:
        shift, scale, gate = self.adaLN_modulation(condition).chunk(3, dim=-1)
        return h + gate * self.mlp(self.in_ln(h) * (1 + scale) + shift)


class FinalLayer(nn.Module):
    """Modulated LayerNorm without weights, and a linear map."""

    def __init__(self, width: int, out_dim: int) -> None:
        super().__init__()
        self.norm_final = nn.LayerNorm(width, eps=1e-6, elementwise_affine=False)
        self.linear = nn.Linear(width, out_dim)
        self.adaLN_modulation = nn.Sequential(nn.SiLU(), nn.Linear(width, 2 * width))

    def forward(self, h: Tensor, condition: Tensor) -> Tensor:
        shift, scale = self.adaLN_modulation(condition).chunk(2, dim=-1)
        return self.linear(self.norm_final(h) * (1 + scale) + shift)


class DenoisingMlp(nn.Module):
    """Noise estimate and variance value of noised rows (MAR, arXiv 2406.11838).

    Args:
        target_dim: width C of the rows.
        condition_dim: width of the condition.
        width, depth: of the residual blocks.
    """

    def __init__(self, target_dim: int, condition_dim: int, width: int, depth: int) -> None:
        super().__init__()
        self.time_embed = TimeEmbedding(width)
        self.cond_embed = nn.Linear(condition_dim, width)
        self.input_proj = nn.Linear(target_dim, width)
        self.res_blocks = nn.ModuleList(ModulatedBlock(width) for _ in range(depth))
        self.final_layer = FinalLayer(width, 2 * target_dim)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Initialise so that blocks start as identities and the output at zero."""
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.xavier_uniform_(module.weight)
                nn.init.zeros_(module.bias)
        for layer in (self.time_embed.mlp[0], self.time_embed.mlp[2]):
            nn.init.normal_(layer.weight, std=0.02)
        closed = [part.adaLN_modulation[1] for part in (*self.res_blocks, self.final_layer)]
        for layer in (*closed, self.final_layer.linear):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)

    def forward(self, noised: Tensor, steps: Tensor, condition: Tensor) -> Tensor:
        """Rows (B, C), steps (B,) of the full chain, conditions (B, Z) -> (B, 2 C)."""
        condition = self.time_embed(steps) + self.cond_embed(condition)
        h = self.input_proj(noised)
        for block in self.res_blocks:
            h = block(h, condition)
        return self.final_layer(h, condition)


@MODELS.register_module()
class DenoisingDecoder(BaseModule):
    """Loss of target rows given conditions, and samples of them.

    All of it runs in float32, under autocast as well.

    Args:
        target_dim: width C of a target.
        condition_dim: width Z of a condition.
        width, depth: of the network.
        schedule, steps: of the training chain.
        sampling: respacing of the chain that samples are drawn on.
        repeats: so many rows with noise of their own are made of each.

    Raises:
        ValueError: unknown schedule or impossible respacing.
    """

    def __init__(
        self,
        target_dim: int,
        condition_dim: int,
        width: int = 1024,
        depth: int = 3,
        schedule: str = 'cosine',
        steps: int = 1000,
        sampling: str = '1000',
        repeats: int = 1,
        init_cfg: dict | list[dict] | None = None,
    ) -> None:
        super().__init__(init_cfg)
        if repeats < 1:
            raise ValueError(f'repeats must be positive, got {repeats}')
        self.repeats = repeats
        self.net = DenoisingMlp(target_dim, condition_dim, width, depth)
        self.training_chain = GaussianDiffusion(schedule, steps)
        self.sampling_chain = GaussianDiffusion(schedule, steps, sampling)

    @classmethod
    def shrink(cls, config: dict, small: SmallSizes) -> dict:
        """Offer a small copy to a rehearsal."""
        return config | dict(width=small.width, depth=small.depth)

    def forward(
        self,
        target: Tensor,
        condition: Tensor,
        mask: Tensor | None = None,
        steps: Tensor | None = None,
        noise: Tensor | None = None,
    ) -> Tensor:
        """Mean loss of the rows, a scalar.

        Args:
            target: (R, C).
            condition: (R, Z).
            mask: (R,) weights of the rows; None: all alike.
            steps, noise: (R * repeats,) and (R * repeats, C); None: drawn.

        Raises:
            RuntimeError: targets that are no finite numbers (on a GPU, at the next wait for it).
        """
        with torch.autocast(target.device.type, enabled=False):
            # Asynchronous: an ordinary check would wait for the device in every step.
            torch._assert_async(target.isfinite().all(), 'the targets hold NaN or infinity')
            target, condition = target.float(), condition.float()
            target, condition = (x.repeat(self.repeats, 1) for x in (target, condition))
            error, bound, _ = self.terms(target, condition, steps, noise)
            losses = error + bound
            if mask is None:
                return losses.mean()
            mask = mask.float().repeat(self.repeats)
            return (losses * mask).sum() / mask.sum()

    def terms(
        self,
        target: Tensor,
        condition: Tensor,
        steps: Tensor | None = None,
        noise: Tensor | None = None,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Error and bound of each row, (R,), and the network's output (R, 2 C)."""
        chain = self.training_chain
        if steps is None:
            steps = torch.randint(chain.num_steps, (len(target),), device=target.device)
        noise = torch.randn_like(target) if noise is None else noise
        noised = chain.add_noise(target, steps, noise)
        output = self.net(noised, steps, condition)
        return *chain.losses(output, target, noised, steps, noise), output

    @torch.no_grad()
    def sample(
        self,
        condition: Tensor,
        temperature: float = 1.0,
        guidance: float = 1.0,
        clip: bool = False,
    ) -> Tensor:
        """Draw targets (R, C) for conditions (R, Z).

        Args:
            condition: with ``guidance`` other than 1 the first half is conditional, the second
                unconditional, and so are the samples.
            temperature: scale of the noise.
            guidance: see :func:`guided`.
            clip: keep the estimates of clean rows within -1 to 1.
        """
        chain = self.sampling_chain
        rows = len(condition) // (1 if guidance == 1.0 else 2)
        channels = self.net.input_proj.in_features
        with torch.autocast(condition.device.type, enabled=False):
            condition = condition.float()
            x = torch.randn(rows, channels, device=condition.device).repeat(
                len(condition) // rows, 1
            )
            for step in steps_backwards(chain):
                steps = torch.full((len(x),), step, device=x.device)
                told = torch.full_like(steps, chain.step_map[step])
                output = self.net(x, told, condition)
                if guidance != 1.0:
                    output = guided(output, guidance)
                noise = torch.randn_like(x)
                x, _ = chain.ancestral_step(output, x, steps, noise, temperature, clip)
        return x
