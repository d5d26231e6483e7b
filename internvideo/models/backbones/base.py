"""The contract of video encoders, and what one hands to heads, decoders and losses."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any, ClassVar, NamedTuple

import torch
from mmengine.model import BaseModule
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from internvideo.models.layers.norm import batch_norms, uncounted_statistics
from internvideo.ops.position_tables import Grid, PositionTable
from internvideo.structures.rehearsal import Finding, RehearsedRun, SmallSizes

ARCH_FIELDS = ('embed_dim', 'depth', 'num_heads', 'mlp_ratio')
"""What a named size says."""
INPUT_NAMES = ('cls_token', 'mask_token', 'pos_embed')


class EncoderOutput(NamedTuple):
    """Outputs of one encoder pass over B clips.

    Attributes:
        tokens: (B, M, D) residual stream after the last block; the encoder's
            ``num_prefix_tokens`` (a class token) come before those of the patches.
        pooled: (B, ``pooled_dim``), or None when the encoder has no pooler.
        layers: residual streams (B, M, D) after the blocks asked for, in the order asked for.
        attn: (B, M - 1) pooling attention to the patch tokens averaged over heads, or None.
        grid: temporal positions, rows and columns of the full patch grid.
    """

    tokens: Tensor
    pooled: Tensor | None
    layers: list[Tensor]
    attn: Tensor | None
    grid: Grid


class VideoEncoder(BaseModule):
    """Base of every video encoder: clips (B, C, T, H, W) -> :class:`EncoderOutput`.

    All that other code asks of an encoder is stated here: widths and sizes as attributes, what it
    can do as class attributes and properties, freezing, layer-wise rules of optimisers, position
    tables.  A family builds ``blocks`` (a ``ModuleList`` of ``depth`` entries, which may lie inside
    another part) and, by convention, ``patch_embed``, and writes its own ``forward`` out; the
    methods here serve it as they are unless its parts have other names.  ``docs/encoders.md`` shows
    one in full.

    Args:
        embed_dim: token width.
        depth: number of blocks.
        img_size: side of the input in pixels, or (height, width).
        patch_size: side of a patch in pixels.
        num_frames: frames of a clip.
        tubelet_size: frames per temporal position.
        pooled_dim: width of the pooled vector; 0 without one.
        checkpoint_num: recompute the activations of that many first blocks when training.

    Attributes:
        grid: temporal positions, rows and columns of the patches of a clip.
        sep_pos_embed: whether position tables of space and time are separate.
        image_pos_embed: how single images are placed; None: they are not taken.

    Raises:
        ValueError: sizes that do not divide.
    """

    ARCHITECTURES: ClassVar[Mapping[str, Mapping[str, Any]]] = {}
    """Named sizes: name -> ``embed_dim``, ``depth``, ``num_heads``, ``mlp_ratio``."""
    SMALL: ClassVar[Mapping[str, Any]] = dict(
        arch=dict(embed_dim=32, depth=2, num_heads=2, mlp_ratio=2.0),
        img_size=28,
        patch_size=14,
        num_frames=4,
    )
    """Constructor arguments of a size that is quick on a CPU; see :meth:`small`."""
    num_prefix_tokens: int = 1
    """Tokens in front of those of the patches: the class token, none, or one for each frame."""
    takes_mask: ClassVar[bool] = True
    """Whether ``forward`` can leave tokens out."""
    any_num_frames: ClassVar[bool] = False
    """Whether clips of other lengths are taken as well: no part depends on the number of frames."""
    sep_pos_embed: bool = False
    image_pos_embed: str | None = None

    blocks: nn.ModuleList

    def __init__(
        self,
        embed_dim: int,
        depth: int,
        img_size: int | tuple[int, int],
        patch_size: int,
        num_frames: int,
        tubelet_size: int = 1,
        pooled_dim: int = 0,
        checkpoint_num: int = 0,
        init_cfg: dict | list[dict] | None = None,
    ) -> None:
        super().__init__(init_cfg)
        self.embed_dim, self.depth, self.pooled_dim = embed_dim, depth, pooled_dim
        self.img_size = (img_size, img_size) if isinstance(img_size, int) else tuple(img_size)
        self.num_frames, self.tubelet_size = num_frames, tubelet_size
        self.grid = patch_grid(num_frames, self.img_size, tubelet_size, patch_size)
        self.checkpoint_num = checkpoint_num
        # A plain list: the modules are registered where they belong already.
        self._frozen: list[nn.Module] = []
        self._change: Callable[[int, Tensor], Tensor] | None = None

    # --- sizes ----------------------------------------------------------------------------------

    @classmethod
    def resolve_arch(
        cls, arch: str | Mapping[str, Any] | None, **overrides: int | float | None
    ) -> dict[str, Any]:
        """Width, depth, heads and MLP ratio of ``arch`` with every given override applied.

        Raises:
            ValueError: unknown name, unknown field, or a field that neither side gives.
        """
        if isinstance(arch, str):
            if arch not in cls.ARCHITECTURES:
                known = ', '.join(cls.ARCHITECTURES)
                raise ValueError(f'arch must be one of {known}, got {arch!r}')
            arch = cls.ARCHITECTURES[arch]
        fields = dict(arch or {})
        fields.update({name: value for name, value in overrides.items() if value is not None})
        unknown = sorted(set(fields) - set(ARCH_FIELDS))
        missing = [name for name in ARCH_FIELDS if name not in fields]
        if unknown or missing:
            raise ValueError(f'arch has unknown fields {unknown} and lacks {missing}')
        return fields

    @classmethod
    def small(cls, **overrides: Any) -> dict[str, Any]:
        """Constructor arguments of a small encoder of this family, for tests and rehearsals.

        ``overrides`` come on top; a family whose sizes depend on one another adapts them here.
        """
        return dict(cls.SMALL) | overrides

    @staticmethod
    def check_config(config: Mapping[str, Any], field: str, run: RehearsedRun) -> Iterator[Finding]:
        """Check for a rehearsal that ``checkpoint_num`` names blocks that there are."""
        number = config.get('checkpoint_num')
        if number is None:
            return
        if number and config.get('use_checkpoint') is False:
            yield Finding(
                f'{field}.checkpoint_num', f'{number} has no effect with use_checkpoint=False'
            )
        depth = getattr(run.module(field), 'depth', None)
        if depth is not None and not 0 <= number <= depth:
            yield Finding(f'{field}.checkpoint_num', f'{number} of {depth} blocks')

    # --- what it can do -------------------------------------------------------------------------

    @property
    def pooler(self) -> nn.Module | None:
        """Module behind the blocks that makes the pooled vector, or None where none does."""
        return None

    @property
    def pooler_parts(self) -> tuple[nn.Module | nn.Parameter, ...]:
        """Modules and parameters that make the pooled vector: the pooler, or what has no module.

        ``freeze`` leaves them open on demand.
        """
        return () if self.pooler is None else (self.pooler,)

    @property
    def gives_attn(self) -> bool:
        """Whether ``return_attn`` can be asked for."""
        return False

    def is_image(self, num_frames: int) -> bool:
        """Whether a clip of so many frames is placed as an image."""
        return False

    def position_tables(self) -> dict[str, PositionTable]:
        """Name of each position table among the encoder's entries -> what its rows are."""
        return {}

    # --- forward --------------------------------------------------------------------------------

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
            video: (B, C, T, H, W) normalised clips.
            mask: (B, N) bool over all tokens, those of ``num_prefix_tokens`` first; True hides a
                token, the same number is visible in every row.  None shows all.
            return_layers: block indices (0-based) whose output stream is returned.
            return_attn: also return the pooling attention.
            num_visible: visible tokens per row, when the caller knows: it spares the device
                synchronisation (and the graph break under ``torch.compile``) of counting them.
            layers_only: stop after the last of ``return_layers``; there is no pooled vector then.

        Raises:
            ValueError: a clip of another size, an unusable mask, a layer that does not exist, or
                attention from an encoder that has none.
        """
        raise NotImplementedError

    def run_block(self, index: int, x: Tensor) -> Tensor:
        """Block ``index`` on ``x``, its activations recomputed when so configured.

        Within :meth:`changed_stream` the stream behind the block is what that makes of it.
        """
        x = self._recomputed(index, x)
        return x if self._change is None else self._change(index, x)

    @contextmanager
    def changed_stream(self, change: Callable[[int, Tensor], Tensor]) -> Iterator[None]:
        """Put ``change(index, stream)`` in the place of the stream behind each block.

        So another part reads and writes between blocks of an encoder that knows nothing of it.
        """
        self._change = change
        try:
            yield
        finally:
            self._change = None

    def _recomputed(self, index: int, x: Tensor) -> Tensor:
        block = self.blocks[index]
        if index >= self.checkpoint_num or not self.training or not torch.is_grad_enabled():
            return block(x)
        options: dict[str, Any] = {}
        if norms := batch_norms(block):
            options['context_fn'] = lambda: (nullcontext(), uncounted_statistics(norms))
        # A reentrant one would cut the gradient off where the input needs none, as after frozen
        # blocks.
        return checkpoint(block, x, use_reentrant=False, **options)

    def num_needed_blocks(self, return_layers: Sequence[int], layers_only: bool) -> int:
        """Blocks that must run for what ``forward`` is asked for."""
        return max(return_layers) + 1 if layers_only else self.depth

    def check_clips(self, video: Tensor) -> None:
        """Raise ValueError unless ``video`` is of the configured size, or a placed image."""
        if video.ndim == 5 and tuple(video.shape[3:]) == self.img_size:
            frames = video.shape[2]
            is_placed = self.any_num_frames and frames > 0 and frames % self.tubelet_size == 0
            if is_placed or frames == self.num_frames or self.is_image(frames):
                return
        raise ValueError(
            f'got clips of shape {tuple(video.shape)}; the model is configured for '
            f'(B, C, T, H, W) with num_frames={self.num_frames} and img_size={self.img_size}'
        )

    def check_request(self, return_layers: Sequence[int], return_attn: bool = False) -> None:
        """Raise ValueError for a layer, or attention, that does not exist."""
        wrong = [i for i in return_layers if not 0 <= i < self.depth]
        if wrong or len(set(return_layers)) != len(return_layers):
            raise ValueError(
                f'return_layers={list(return_layers)} must be distinct block indices in '
                f'[0, {self.depth})'
            )
        if return_attn and not self.gives_attn:
            raise ValueError(
                f'return_attn needs an attention pooler, which {type(self).__name__} does not have '
                'here (clip_embed_dim=0 leaves one out)'
            )

    # --- training -------------------------------------------------------------------------------

    def freeze(self, open_blocks: int = 0, open_pooler: bool = False) -> None:
        """Freeze everything but the last ``open_blocks`` blocks and, when open, the pooler.

        Frozen parameters need no gradient, and frozen modules stay in evaluation mode.  Nothing
        is recorded for the backward pass up to the first open part.

        Raises ValueError when there are fewer blocks than ``open_blocks``.
        """
        if not 0 <= open_blocks <= self.depth:
            raise ValueError(f'open_blocks={open_blocks} must be in [0, depth={self.depth}]')
        opened = [*self.blocks[self.depth - open_blocks :]]
        opened += self.pooler_parts if open_pooler else ()
        self._frozen = _freeze_within(self, {id(part) for part in opened})
        # The model may be in training mode already: what was frozen leaves it now.
        self.train(self.training)

    def train(self, mode: bool = True) -> 'VideoEncoder':
        """Switch mode, leaving frozen modules in evaluation mode."""
        super().train(mode)
        for module in self._frozen:
            module.eval()
        return self

    def no_weight_decay(self) -> set[str]:
        """Names of parameters that are never decayed: those of no layer (tokens, tables)."""
        return {name for name, _ in self.named_parameters(recurse=False)}

    def get_layer_depth(self, param_name: str, prefix: str = '') -> tuple[int, int]:
        """(layer id, number of layers) of a parameter for layer-wise learning-rate decay.

        See :func:`layer_of`.
        """
        return layer_of(param_name.removeprefix(prefix), self.depth), self.depth + 2


def _freeze_within(module: nn.Module, opened: set[int]) -> list[nn.Module]:
    """Freeze ``module`` but for what has these ids, and return the modules that stay closed."""
    # Tokens and position tables, which belong to no child.
    for parameter in module.parameters(recurse=False):
        if id(parameter) not in opened:
            parameter.requires_grad_(False)
    closed: list[nn.Module] = []
    for child in module.children():
        if id(child) in opened:
            continue
        if any(id(inner) in opened for inner in child.modules()):
            closed += _freeze_within(child, opened)
        else:
            child.requires_grad_(False)
            closed.append(child)
    return closed


def layer_of(name: str, depth: int) -> int:
    """Layer of a parameter in an encoder of ``depth`` blocks: 0 input, i + 1 block i, else last.

    The separate position tables (``pos_embed_spatial`` and so on) count as last, hence take the
    full learning rate, as in the published recipes.
    """
    if name in INPUT_NAMES or name.startswith('patch_embed.'):
        return 0
    block = re.match(r'blocks\.(\d+)\.', name)
    return int(block.group(1)) + 1 if block else depth + 1


def patch_grid(
    num_frames: int, img_size: tuple[int, int], tubelet_size: int, patch_size: int
) -> Grid:
    """Temporal positions, rows and columns of a clip.

    Raises:
        ValueError: sizes that do not divide, or that are not positive.
    """
    height, width = img_size
    if min(num_frames, height, width, tubelet_size, patch_size) < 1:
        raise ValueError(
            f'num_frames={num_frames}, img_size={img_size}, tubelet_size={tubelet_size} and '
            f'patch_size={patch_size} must be positive'
        )
    if num_frames % tubelet_size or height % patch_size or width % patch_size:
        raise ValueError(
            f'num_frames={num_frames} must be divisible by tubelet_size={tubelet_size} and '
            f'img_size={img_size} by patch_size={patch_size}'
        )
    return num_frames // tubelet_size, height // patch_size, width // patch_size


def small_encoder(
    config: dict[str, Any], small: SmallSizes, patch_size: int = 14
) -> dict[str, Any]:
    """A small copy of an encoder that takes ``arch``, ``img_size`` and ``checkpoint_num``.

    ``patch_size`` is that of the class, which stands where the config has none.
    """
    sizes = dict(embed_dim=small.width, depth=small.depth, num_heads=small.heads, mlp_ratio=2.0)
    # Sizes given on their own would override those of arch.
    config = {key: value for key, value in config.items() if key not in sizes}
    config |= dict(arch=sizes, img_size=small.side(config.get('img_size', 224)))
    size = config['img_size']
    sides = (size,) if isinstance(size, int) else size
    # A quarter of 224 px holds whole patches of 14 px, not of 16.
    if any(side % config.get('patch_size', patch_size) for side in sides):
        config['patch_size'] = 14
    return config | (dict(checkpoint_num=1) if config.get('checkpoint_num') else {})
