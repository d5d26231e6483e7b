"""The video tower of ViCLIP (arXiv 2307.06942, section 4): CLIP's image tower over space-time."""

import re
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from internvideo.models.layers.patch_embed import embed_boxes
from internvideo.models.layers.residual_attention import ResidualTransformer
from internvideo.ops.tokens import gather_visible
from internvideo.registry import MODELS
from internvideo.structures.rehearsal import SmallSizes

from .base import EncoderOutput, PositionTable, VideoEncoder, small_encoder

RESBLOCK = re.compile(r'transformer\.resblocks\.(\d+)\.')


@MODELS.register_module()
class ViCLIPVision(VideoEncoder):
    """CLIP's vision transformer with joint attention over all patches of a clip.

    Parameters carry the published names.  One class token serves the whole clip.  A patch takes
    the place of its row and column, and on top of it that of its temporal position
    (``temporal_positional_embedding``, which starts at zero, so that a tower filled with CLIP's
    weights starts as CLIP does).  A clip of one temporal position is an image: its patches take
    the mean of the temporal table.

    Tokens, masks and layers are time-major as everywhere (index = t * H'W' + patch), those of
    published tensors are space-major (index = patch * T + t): attention does not see the
    difference.

    Args:
        arch: ``'base'``, ``'large'``, or the fields of a size.
        img_size: side of the input in pixels, or (height, width).
        patch_size: side of a patch in pixels.
        num_frames: frames of a clip, not of the temporal table as in published configs.
        tubelet_size: frames per temporal position, published as ``kernel_size``.
        output_dim: width E of the projected class token; None: no projection and no pooled vector.
        temporal_embedding: add the temporal table.
        dropout: of the class token before its projection.
        drop_path_rate: stochastic depth of the last block, by samples; linear from 0.
        attn_backend: attention backend.
        checkpoint_num: recompute the activations of that many first blocks when training.

    Raises:
        ValueError: unknown architecture; sizes that do not divide, such as ``num_frames`` by
            ``tubelet_size``.
    """

    ARCHITECTURES: ClassVar[dict[str, dict[str, Any]]] = {
        'base': dict(embed_dim=768, depth=12, num_heads=12, mlp_ratio=4.0),
        'large': dict(embed_dim=1024, depth=24, num_heads=16, mlp_ratio=4.0),
    }
    SMALL: ClassVar[dict[str, Any]] = dict(VideoEncoder.SMALL) | dict(output_dim=24)

    def __init__(
        self,
        arch: str | Mapping[str, Any] = 'base',
        img_size: int | tuple[int, int] = 224,
        patch_size: int = 16,
        num_frames: int = 8,
        tubelet_size: int = 1,
        output_dim: int | None = 512,
        temporal_embedding: bool = True,
        dropout: float = 0.0,
        drop_path_rate: float = 0.0,
        attn_backend: str = 'auto',
        checkpoint_num: int = 0,
        init_cfg: dict | list[dict] | None = None,
    ) -> None:
        width = self.resolve_arch(arch)
        super().__init__(
            embed_dim=width['embed_dim'],
            depth=width['depth'],
            img_size=img_size,
            patch_size=patch_size,
            num_frames=num_frames,
            tubelet_size=tubelet_size,
            pooled_dim=output_dim or 0,
            checkpoint_num=checkpoint_num,
            init_cfg=init_cfg,
        )
        dim, (steps, rows, columns) = self.embed_dim, self.grid
        kernel = (tubelet_size, patch_size, patch_size)
        # Never run as a convolution: it gives the published name and start.
        self.conv1 = nn.Conv3d(3, dim, kernel, stride=kernel, bias=False)
        self.class_embedding = nn.Parameter(torch.empty(dim))
        self.positional_embedding = nn.Parameter(torch.empty(1 + rows * columns, dim))
        self.temporal_positional_embedding = None
        if temporal_embedding:
            self.temporal_positional_embedding = nn.Parameter(torch.zeros(1, steps, dim))
        self.ln_pre = nn.LayerNorm(dim)
        self.transformer = ResidualTransformer(
            dim,
            self.depth,
            width['num_heads'],
            drop_path_rate,
            attn_backend,
            hidden_dim=int(dim * width['mlp_ratio']),
        )
        self.ln_post = nn.LayerNorm(dim)
        self.dropout = nn.Dropout(dropout)
        self.proj = nn.Parameter(torch.empty(dim, output_dim)) if output_dim else None
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Initialise tokens, positions and projection as CLIP does."""
        parts = (self.class_embedding, self.positional_embedding, self.proj)
        for parameter in parts:
            if parameter is not None:
                nn.init.normal_(parameter, std=self.embed_dim**-0.5)

    @property
    def blocks(self) -> nn.ModuleList:
        """Transformer blocks, which published names call ``transformer.resblocks``."""
        return self.transformer.resblocks

    def is_image(self, num_frames: int) -> bool:
        """Whether a clip of so many frames fills one temporal position."""
        return num_frames == self.tubelet_size

    def position_tables(self) -> dict[str, PositionTable]:
        """The table of a frame, class token first, and that of time where there is one."""
        tables = dict(positional_embedding=PositionTable(over_time=False, extra_rows=1))
        if self.temporal_positional_embedding is not None:
            tables['temporal_positional_embedding'] = PositionTable(over_space=False)
        return tables

    @classmethod
    def shrink(cls, config: dict[str, Any], small: SmallSizes) -> dict[str, Any]:
        """Offer a small copy to a rehearsal."""
        return small.narrowed(small_encoder(config, small, patch_size=16), 'output_dim')

    def embed(self, video: Tensor) -> Tensor:
        """(B, C, T, H, W) -> (B, 1 + T'H'W', D), the class token first, with their positions."""
        patches = embed_boxes(video, self.conv1.weight)
        # Float32 tables would turn a bfloat16 stream into float32.
        spatial = self.positional_embedding.to(patches.dtype)
        patches = patches + spatial[1:]
        if self.temporal_positional_embedding is not None:
            temporal = self.temporal_positional_embedding.to(patches.dtype)
            if self.is_image(video.shape[2]):
                temporal = temporal.mean(dim=1, keepdim=True)
            patches = patches + temporal[:, :, None]
        cls_token = self.class_embedding.to(patches.dtype) + spatial[0]
        return torch.cat([cls_token.expand(len(video), 1, -1), patches.flatten(1, 2)], dim=1)

    def forward(
        self,
        video: Tensor,
        mask: Tensor | None = None,
        return_layers: Sequence[int] = (),
        return_attn: bool = False,
        num_visible: int | None = None,
        layers_only: bool = False,
    ) -> EncoderOutput:
        """Encode clips.

        Args:
            video: (B, C, T, H, W) normalised clips, or images, T = ``tubelet_size``.
            mask: (B, 1+N) bool, True hides a token; the same number is visible in every row.
            return_layers: block indices (0-based) whose output stream is returned; that of the
                last block is normalised (``ln_post``), the others are raw.
            return_attn: not possible: there is no attention pooler.
            num_visible: visible tokens per row, when the caller knows.
            layers_only: stop after the last of ``return_layers``.

        Raises:
            ValueError: a clip of another size, an unusable mask, or a layer that does not exist.
        """
        self.check_clips(video)
        self.check_request(return_layers, return_attn)
        x = self.embed(video)
        if mask is not None:
            x = gather_visible(x, mask, num_visible)
        x = self.ln_pre(x)
        taps = {}
        for index in range(self.num_needed_blocks(return_layers, layers_only)):
            x = self.run_block(index, x)
            if index == self.depth - 1:
                x = self.ln_post(x)
            if index in return_layers:
                taps[index] = x
        pooled = None
        if self.proj is not None and not layers_only:
            pooled = self.dropout(x[:, 0]) @ self.proj
        steps = video.shape[2] // self.tubelet_size
        grid = (steps, *self.grid[1:])
        return EncoderOutput(x, pooled, [taps[i] for i in return_layers], None, grid)

    def no_weight_decay(self) -> set[str]:
        """Names of parameters that are never decayed: the class token and the tables."""
        return {'class_embedding', *self.position_tables()}

    def get_layer_depth(self, param_name: str, prefix: str = '') -> tuple[int, int]:
        """(layer id, number of layers) of a parameter for layer-wise learning-rate decay."""
        name, layers = param_name.removeprefix(prefix), self.depth + 2
        if block := RESBLOCK.match(name):
            return int(block.group(1)) + 1, layers
        behind = name == 'proj' or name.startswith('ln_post.')
        return (layers - 1 if behind else 0), layers
