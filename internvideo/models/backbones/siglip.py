"""SigLIP 2's image tower over the frames of a clip (arXiv 2502.14786)."""

import re
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from internvideo.ops.position_tables import Grid, interpolate_image_table
from internvideo.registry import MODELS
from internvideo.structures.rehearsal import SmallSizes

from .base import EncoderOutput, PositionTable, VideoEncoder, small_encoder

TABLE = 'vision_model.embeddings.position_embedding.weight'
PROBE = 'vision_model.head.probe'
LAYER = re.compile(r'vision_model\.encoder\.layers\.(\d+)\.')


class FrameFeatures(NamedTuple):
    """Features of R images.

    Attributes:
        layers: inputs (R, L, D) of the layers asked for, in the order asked for.
        tokens: (R, L, D) after the last layer that ran, before any norm.
        pooled: (R, D), or None.
        attn: (R, L) attention of the pooling's probe, averaged over heads, or None.
    """

    layers: list[Tensor]
    tokens: Tensor
    pooled: Tensor | None
    attn: Tensor | None


@MODELS.register_module()
class SiglipVision(VideoEncoder):
    """Image encoder that sees each frame on its own, with transformers' layers.

    Patch tokens of the frames follow each other, time-major, without class token.  The pooled
    vector of a clip is the mean over its frames.  Images of any size that patches divide are
    taken: the position table is resized (bicubic).  Parameters have the published names, which
    begin with ``vision_model.``.

    Args:
        arch: ``'giant'`` (SigLIP 2's 1B), ``'so400m'``, a dict of the four fields, or None.
        embed_dim, depth, num_heads, mlp_ratio: each overrides ``arch``.
        img_size: side of the table's images in pixels.
        patch_size: side of a patch in pixels.
        drop_path_rate: must be 0, there is no stochastic depth.
        use_checkpoint: recompute activations of the first ``checkpoint_num`` layers when training.
        checkpoint_num: number of such layers; None means all.

    Raises:
        ValueError: unknown architecture, sizes that do not divide, or stochastic depth.
        ImportError: transformers is not installed.
    """

    ARCHITECTURES: ClassVar[dict[str, dict[str, Any]]] = {
        'giant': dict(embed_dim=1536, depth=40, num_heads=16, mlp_ratio=4.0),
        'so400m': dict(embed_dim=1152, depth=27, num_heads=16, mlp_ratio=4304 / 1152),
    }
    SMALL: ClassVar[dict[str, Any]] = {
        name: value for name, value in VideoEncoder.SMALL.items() if name != 'num_frames'
    }
    num_prefix_tokens = 0
    takes_mask = False

    def __init__(
        self,
        arch: str | Mapping[str, Any] | None = 'giant',
        embed_dim: int | None = None,
        depth: int | None = None,
        num_heads: int | None = None,
        mlp_ratio: float | None = None,
        img_size: int = 256,
        patch_size: int = 16,
        drop_path_rate: float = 0.0,
        use_checkpoint: bool = False,
        checkpoint_num: int | None = None,
        init_cfg: dict | list[dict] | None = None,
    ) -> None:
        # Importing it takes seconds, which only those pay who use the tower.
        from transformers import SiglipVisionConfig, SiglipVisionModel

        width = self.resolve_arch(
            arch, embed_dim=embed_dim, depth=depth, num_heads=num_heads, mlp_ratio=mlp_ratio
        )
        if drop_path_rate:
            raise ValueError(f'{type(self).__name__} has no drop_path_rate, got {drop_path_rate}')
        if checkpoint_num is None:
            checkpoint_num = width['depth']
        super().__init__(
            embed_dim=width['embed_dim'],
            depth=width['depth'],
            img_size=img_size,
            patch_size=patch_size,
            num_frames=1,
            pooled_dim=width['embed_dim'],
            checkpoint_num=checkpoint_num if use_checkpoint else 0,
            init_cfg=init_cfg,
        )
        self.patch_size = patch_size
        self.vision_model = SiglipVisionModel(
            SiglipVisionConfig(
                hidden_size=self.embed_dim,
                intermediate_size=round(self.embed_dim * width['mlp_ratio']),
                num_hidden_layers=self.depth,
                num_attention_heads=width['num_heads'],
                image_size=self.img_size[0],
                patch_size=patch_size,
                attn_implementation='sdpa',
            )
        )
        # Not saved and not used here; on the meta device nothing would fill it.
        del self.vision_model.embeddings.position_ids

    @classmethod
    def shrink(cls, config: dict[str, Any], small: SmallSizes) -> dict[str, Any]:
        """Offer a small copy to a rehearsal."""
        return small_encoder(config | dict(img_size=config.get('img_size', 256)), small)

    @property
    def blocks(self) -> nn.ModuleList:
        """The layers."""
        return self.vision_model.encoder.layers

    @property
    def pooler(self) -> nn.Module:
        """The attention pooling with its learned probe."""
        return self.vision_model.head

    @property
    def gives_attn(self) -> bool:
        """Always: there is a pooling."""
        return True

    def position_tables(self) -> dict[str, PositionTable]:
        """The table of the patches of an image."""
        return {TABLE: PositionTable(over_time=False)}

    def no_weight_decay(self) -> set[str]:
        """Names of the table and of the probe."""
        return {TABLE, PROBE}

    def get_layer_depth(self, param_name: str, prefix: str = '') -> tuple[int, int]:
        """(layer id, number of layers) of a parameter for layer-wise learning-rate decay."""
        name = param_name.removeprefix(prefix)
        if found := LAYER.match(name):
            return int(found[1]) + 1, self.depth + 2
        is_input = name.startswith('vision_model.embeddings.')
        return (0 if is_input else self.depth + 1), self.depth + 2

    def run_block(self, index: int, x: Tensor) -> Tensor:
        """Layer ``index`` on ``x``, its activations recomputed when so configured."""
        layer = self.blocks[index]
        if index < self.checkpoint_num and self.training and torch.is_grad_enabled():
            return checkpoint(layer, x, None, use_reentrant=False)
        return layer(x, None)

    def image_grid(self, height: int, width: int) -> tuple[int, int]:
        """Rows and columns of patches.  Raises ValueError for sizes that they do not divide."""
        if height % self.patch_size or width % self.patch_size:
            raise ValueError(
                f'images of {height} x {width} pixels are not divisible by patch_size='
                f'{self.patch_size}'
            )
        return height // self.patch_size, width // self.patch_size

    def encode_frames(
        self,
        frames: Tensor,
        inputs_of: Sequence[int] = (),
        pooled: bool = True,
        attn: bool = False,
    ) -> FrameFeatures:
        """Encode images (R, 3, H, W).

        Args:
            frames: normalised images.
            inputs_of: layers whose input is returned; 0 gives the embeddings.
            pooled, attn: whether the pooled vector and its attention are wanted.  With neither,
                layers behind the last of ``inputs_of`` do not run.

        Raises:
            ValueError: a size that patches do not divide, or a layer that does not exist.
        """
        self.check_request(inputs_of)
        embeddings = self.vision_model.embeddings
        size = self.image_grid(*frames.shape[-2:])
        x = embeddings.patch_embedding(frames).flatten(2).transpose(1, 2)
        table = embeddings.position_embedding.weight[None]
        if size != self.grid[1:]:
            table = interpolate_image_table(table, size, extra_rows=0)
        x, taps = x + table.to(x.dtype), {}
        needed = self.depth if pooled or attn or not inputs_of else max(inputs_of)
        for index in range(needed):
            taps[index] = x if index in inputs_of else None
            x = self.run_block(index, x)
        taps[needed] = x
        vector = scores = None
        if pooled or attn:
            vector, scores = self._pool(x, attn)
        return FrameFeatures([taps[i] for i in inputs_of], x, vector, scores)

    def _pool(self, x: Tensor, attn: bool) -> tuple[Tensor, Tensor | None]:
        head, x = self.pooler, self.vision_model.post_layernorm(x)
        query = head.probe.expand(len(x), -1, -1).to(x.dtype)
        pooled, scores = head.attention(query, x, x, need_weights=attn)
        pooled = pooled + head.mlp(head.layernorm(pooled))
        return pooled[:, 0], None if scores is None else scores[:, 0]

    def forward(
        self,
        video: Tensor,
        mask: Tensor | None = None,
        return_layers: Sequence[int] = (),
        return_attn: bool = False,
        num_visible: int | None = None,
        layers_only: bool = False,
    ) -> EncoderOutput:
        """Encode clips (B, C, T, H, W) frame by frame.

        Tokens and layers are (B, T * L, D), the pooled vector (B, D), attention (B, T * L), whose
        rows of one frame sum to 1.

        Args:
            video: normalised clips of any length.
            mask, num_visible: not taken: each frame is seen whole.
            return_layers: layers (0-based) whose output is returned.
            return_attn: also return the pooling attention.
            layers_only: stop after the last of ``return_layers``; no pooled vector then.

        Raises:
            ValueError: frames that patches do not divide, a mask, or a layer that does not exist.
        """
        if mask is not None:
            raise ValueError(f'{type(self).__name__} takes no mask: each frame is seen whole')
        if video.ndim != 5:
            raise ValueError(f'expected clips (B, C, T, H, W), got shape {tuple(video.shape)}')
        self.check_request(return_layers, return_attn)
        steps = video.shape[2]
        grid: Grid = (steps, *self.image_grid(*video.shape[-2:]))
        frames = video.transpose(1, 2).flatten(0, 1)
        # The output of a layer is the input of the next; of the last there is none.
        last = self.depth - 1
        inner = [index + 1 for index in return_layers if index < last]
        whole = not layers_only or last in return_layers
        found = self.encode_frames(frames, inner, pooled=whole, attn=return_attn)
        outputs = dict(zip(inner, found.layers, strict=True)) | {self.depth: found.tokens}
        pooled = None if layers_only else found.pooled.unflatten(0, (-1, steps)).mean(dim=1)
        return EncoderOutput(
            tokens=_clips(found.tokens, steps),
            pooled=pooled,
            layers=[_clips(outputs[index + 1], steps) for index in return_layers],
            attn=None if found.attn is None else _clips(found.attn, steps),
            grid=grid,
        )


def _clips(frames: Tensor, steps: int) -> Tensor:
    """(B * T, L, ...) -> (B, T * L, ...)."""
    return frames.unflatten(0, (-1, steps)).flatten(1, 2)
