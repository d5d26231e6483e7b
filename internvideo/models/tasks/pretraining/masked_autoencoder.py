"""VideoMAE pretraining: an encoder of the visible tubes, a decoder of the pixels of the others."""

import math
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from internvideo.models.backbones.base import EncoderOutput
from internvideo.models.backbones.videomae import VideoMAEBlock
from internvideo.models.layers.linear import Linear
from internvideo.models.layers.position import interleaved_sinusoid
from internvideo.models.masks.token_masks import Masker
from internvideo.models.tasks.base import VideoModel
from internvideo.ops.tubes import Tube, join_tubes, take_tubes
from internvideo.registry import MODELS
from internvideo.structures import VideoDataSample
from internvideo.structures.reconstruction import Reconstruction
from internvideo.structures.rehearsal import SmallSizes

CHANNELS = 3
MODES = ('loss', 'tensor', 'reconstruct')
TARGETS = ('normalised', 'pixels')
TUBE_EPS = 1e-6
"""Added to the standard deviation of a tube, in pixels of 0 to 1."""


@MODELS.register_module()
class VideoMAEDecoder(nn.Module):
    """Transformer over all tokens of a clip that predicts the pixels of the last of them.

    Args:
        embed_dim, depth, num_heads, mlp_ratio: its size.
        out_dim: values of a tube; ``MaskedAutoencoder`` gives it.
        qkv_bias, qk_scale, init_values, attn_backend: as for the encoder.
        drop_path_rate: stochastic depth of the last block; linear from 0.

    Source: arXiv 2203.12602, section 3.2.
    """

    def __init__(
        self,
        out_dim: int,
        embed_dim: int = 384,
        depth: int = 4,
        num_heads: int = 6,
        mlp_ratio: float = 4.0,
        qkv_bias: bool = True,
        qk_scale: float | None = None,
        init_values: float | None = 0.0,
        drop_path_rate: float = 0.0,
        attn_backend: str = 'auto',
    ) -> None:
        super().__init__()
        self.embed_dim, self.out_dim = embed_dim, out_dim
        rates = torch.linspace(0, drop_path_rate, depth, device='cpu').tolist()
        self.blocks = nn.ModuleList(
            VideoMAEBlock(
                embed_dim,
                num_heads,
                int(embed_dim * mlp_ratio),
                qkv_bias,
                init_values,
                rate,
                attn_backend,
                qk_scale=qk_scale,
            )
            for rate in rates
        )
        self.norm = nn.LayerNorm(embed_dim, eps=1e-6)
        self.head = Linear(embed_dim, out_dim)

    @classmethod
    def shrink(cls, config: dict[str, Any], small: SmallSizes) -> dict[str, Any]:
        """Offer a small copy to a rehearsal."""
        return small.narrowed(config, 'embed_dim') | dict(depth=1, num_heads=small.heads)

    def forward(self, tokens: Tensor, num_predicted: int) -> Tensor:
        """(B, N, D) tokens -> (B, ``num_predicted``, ``out_dim``) of the last of them."""
        for block in self.blocks[:-1]:
            tokens = block(tokens)
        # Behind the last exchange each token is on its own: visible ones would be thrown away.
        for block in self.blocks[-1:]:
            tokens = block(tokens, num_predicted)
        return self.head(self.norm(tokens[:, -num_predicted:]))


@MODELS.register_module()
class MaskedAutoencoder(VideoModel):
    """Predicts the pixels of hidden tubes from the few that are visible.

    The encoder sees visible tokens alone.  The decoder sees their maps, then a ``mask_token`` for
    each hidden one, all with their places, and the loss is the mean squared error of the pixels of
    hidden tubes.  Both follow the precision of the run, where the published decoder always computes
    in float16; targets and loss are float32.

    Args:
        backbone: config of the encoder, one without class token.
        decoder: config of the decoder; the values of a tube come from the encoder.
        masker: config of the masker.
        target: ``'normalised'``: each channel of a tube with mean 0 and variance 1 (unbiased);
            ``'pixels'``: values of 0 to 1.
        data_preprocessor: config of the batch preprocessor, whose mean and standard deviation give
            back the pixels.
        init_cfg: how to initialise.

    ``forward`` modes: ``'loss'`` gives ``loss``; ``'tensor'`` the encoder's output for unmasked
    clips; ``'reconstruct'`` a :class:`Reconstruction`, for pictures.  Views count as clips, each
    with a mask of its own.

    Raises:
        ValueError: a class token, an unknown ``target``, or a ``masker.ratio`` by which no tube or
            every tube of a clip is hidden.

    Source: arXiv 2203.12602, sections 3.1 and 3.3.
    """

    def __init__(
        self,
        backbone: dict[str, Any],
        decoder: dict[str, Any],
        masker: dict[str, Any],
        target: str = 'normalised',
        data_preprocessor: dict[str, Any] | nn.Module | None = None,
        init_cfg: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(data_preprocessor, init_cfg)
        if target not in TARGETS:
            raise ValueError(f'target must be one of {", ".join(TARGETS)}, got {target!r}')
        self.target = target
        self.backbone = MODELS.build(backbone)
        if self.backbone.num_prefix_tokens:
            raise ValueError(
                f'{type(self.backbone).__name__} has a class token, which this decoder has no '
                'place for'
            )
        self.decoder = MODELS.build(dict(decoder) | dict(out_dim=CHANNELS * math.prod(self.tube)))
        self.encoder_to_decoder = nn.Linear(
            self.backbone.embed_dim, self.decoder.embed_dim, bias=False
        )
        self.mask_token = nn.Parameter(torch.zeros(1, 1, self.decoder.embed_dim))
        table = interleaved_sinusoid(self.num_tokens, self.decoder.embed_dim)
        self.register_buffer('decoder_pos_embed', table, persistent=False)
        self.masker = self._build_masker(masker)
        self.reset_parameters()

    def _build_masker(self, masker: dict[str, Any]) -> Masker:
        ratio = masker.get('ratio')
        if isinstance(ratio, int | float) and not 0 < ratio < 1:
            raise ValueError(
                f'masker.ratio={ratio} must lie between 0 and 1: without visible or without '
                'hidden tubes there is nothing to learn'
            )
        built = MODELS.build(masker)
        if ratio is not None and not 0 < built.num_visible(self.backbone.grid) < self.num_tokens:
            raise ValueError(
                f'masker.ratio={ratio} hides no tube or every tube of a clip of '
                f'{" x ".join(map(str, self.backbone.grid))} tubes'
            )
        return built

    def reset_parameters(self) -> None:
        """Start as published: linear maps Xavier uniform, the mask token from a normal law."""
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.xavier_uniform_(module.weight)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
        nn.init.trunc_normal_(self.mask_token, std=0.02, a=-0.02, b=0.02)

    scales_learning_rate = True
    """Published rates are those of a batch of 256 clips; a rehearsal looks for ``lr_scaling``."""

    @classmethod
    def shrink(cls, config: dict[str, Any], small: SmallSizes) -> dict[str, Any]:
        """Offer a small copy to a rehearsal."""
        return config

    # --- sizes ----------------------------------------------------------------------------------

    @property
    def tube(self) -> Tube:
        """Frames, rows and columns of a tube, in pixels."""
        encoder = self.backbone
        sides = zip(encoder.img_size, encoder.grid[1:], strict=True)
        return (encoder.tubelet_size, *(pixels // count for pixels, count in sides))

    @property
    def num_tokens(self) -> int:
        """Tubes of a clip."""
        return math.prod(self.backbone.grid)

    def no_weight_decay(self) -> set[str]:
        """Names of parameters that are never decayed."""
        return super().no_weight_decay() | {'mask_token'}

    # --- forward --------------------------------------------------------------------------------

    def forward(
        self,
        inputs: Tensor | None,
        data_samples: Sequence[VideoDataSample] | None = None,
        mode: str = 'tensor',
    ) -> EncoderOutput | dict[str, Tensor] | Reconstruction:
        """Run one mode on clips (B, C, T, H, W) or views (B, V, C, T, H, W).

        Raises ValueError for an unknown mode or a batch without a readable clip.
        """
        if mode not in MODES:
            raise ValueError(f'mode must be one of {", ".join(MODES)}, got {mode!r}')
        if inputs is None:
            raise ValueError(f'the batch has no readable clip, so mode={mode!r} cannot run')
        video = inputs if inputs.ndim == 5 else inputs.flatten(0, 1)
        if mode == 'tensor':
            return self.backbone(video)
        if mode == 'reconstruct':
            return self.reconstruct(video)
        visible, hidden = self.split_tokens(self.draw_mask(video))
        prediction = self.decode(self.encode(video, visible, hidden), visible, hidden)
        return dict(loss=F.mse_loss(prediction.float(), self.targets(video, hidden)))

    @torch.no_grad()
    def draw_mask(self, video: Tensor) -> Tensor:
        """(B, N) bool mask, True = hidden, from torch's generator of the device."""
        return self.masker(None, len(video), self.backbone.grid, video.device)

    def split_tokens(self, mask: Tensor, num_visible: int | None = None) -> tuple[Tensor, Tensor]:
        """Positions (B, M) of visible and (B, N - M) of hidden tokens, both ascending.

        Args:
            mask: (B, N) bool, True = hidden, the same number in every row.
            num_visible: M; None takes the masker's.
        """
        if num_visible is None:
            num_visible = self.masker.num_visible(self.backbone.grid)
        # As visible_positions(), of which one sort gives both parts.
        order = torch.argsort(mask.to(torch.uint8), dim=1, stable=True)
        return order[:, :num_visible], order[:, num_visible:]

    def encode(self, video: Tensor, visible: Tensor, hidden: Tensor) -> Tensor:
        """Encoder output (B, M, D) of the visible tokens."""
        mask = torch.zeros(len(video), self.num_tokens, dtype=torch.bool, device=video.device)
        mask.scatter_(1, hidden, True)
        return self.backbone(video, mask, num_visible=visible.shape[1]).tokens

    def decode(self, features: Tensor, visible: Tensor, hidden: Tensor) -> Tensor:
        """Predicted values (B, N - M, tube) of hidden tokens, of all where none is hidden.

        Args:
            features: (B, M, D) encoder output.
            visible, hidden: positions of the tokens.
        """
        tokens = self.encoder_to_decoder(features)
        # In the type of the tokens: a float32 table would turn all that follows into float32.
        table, mask_token = self.decoder_pos_embed.to(tokens.dtype), self.mask_token
        shown = tokens + F.embedding(visible, table)
        asked = mask_token.to(tokens.dtype) + F.embedding(hidden, table)
        return self.decoder(torch.cat([shown, asked], dim=1), hidden.shape[1] or self.num_tokens)

    # --- targets --------------------------------------------------------------------------------

    @torch.no_grad()
    def targets(self, video: Tensor, positions: Tensor) -> Tensor:
        """Values to predict (B, M, t * p * q * C) at ``positions``, the channel last, in float32.

        Args:
            video: normalised clips (B, C, T, H, W).
            positions: (B, M) tokens; where there is none, all.
        """
        tubes = take_tubes(video, self.tube, positions if positions.numel() else None)
        tubes = self.pixels(tubes).flatten(3)
        if self.target == 'normalised':
            mean, deviation = tube_statistics(tubes)
            tubes = tubes.sub_(mean).div_(deviation)
        return tubes.transpose(2, 3).flatten(2)

    def pixels(self, normalised: Tensor) -> Tensor:
        """Undo the preprocessor's normalisation of (..., C, t, p, q): float32 of 0 to 1.

        As a new tensor.  Raises ValueError for a preprocessor without mean and standard deviation.
        """
        mean, std = (getattr(self.data_preprocessor, name, None) for name in ('mean', 'std'))
        if mean is None or std is None:
            raise ValueError(
                f'data_preprocessor {type(self.data_preprocessor).__name__} has no mean and std, '
                'by which pixels are found again: use ClipDataPreprocessor'
            )
        return torch.addcmul(mean / 255, normalised.float(), std / 255)

    @torch.no_grad()
    def reconstruct(self, video: Tensor) -> Reconstruction:
        """Reconstruct normalised clips (B, C, T, H, W) under a drawn mask.

        A prediction of normalised values says nothing of a tube's brightness and contrast: it gets
        those of the tube itself.
        """
        mask = self.draw_mask(video)
        visible, hidden = self.split_tokens(mask)
        prediction = self.decode(self.encode(video, visible, hidden), visible, hidden).float()
        losses = (prediction - self.targets(video, hidden)).square().mean(dim=(1, 2))
        tubes = self.pixels(take_tubes(video, self.tube))
        values = prediction.unflatten(2, (-1, CHANNELS)).transpose(2, 3).unflatten(3, self.tube)
        clips = torch.arange(len(video), device=video.device)[:, None]
        if self.target == 'normalised':
            mean, deviation = tube_statistics(tubes[clips, hidden].flatten(3))
            values = values * deviation[..., None, None] + mean[..., None, None]
        filled = tubes.index_put((clips, hidden), values)
        is_hidden = mask[:, :, None, None, None, None].expand(-1, -1, 1, *self.tube)
        pixels, reconstructed, hidden_pixels = (
            join_tubes(part, self.backbone.grid) for part in (tubes, filled, is_hidden)
        )
        return Reconstruction(
            pixels, reconstructed, hidden_pixels[:, 0], losses, self.target == 'normalised'
        )


def tube_statistics(tubes: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and deviation (unbiased, plus :data:`TUBE_EPS`) of each row of (..., n): (..., 1)."""
    mean = tubes.mean(dim=-1, keepdim=True)
    # In two passes over rows, several times faster on a CPU than torch.var.
    energy = torch.linalg.vector_norm(tubes - mean, dim=-1, keepdim=True).square_()
    return mean, energy.div_(tubes.shape[-1] - 1).sqrt_() + TUBE_EPS
