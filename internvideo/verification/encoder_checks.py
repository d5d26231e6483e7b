"""Checks that hold for every video encoder, published or of a project.

A test of a project's own encoder is::

    import pytest
    from internvideo.verification.encoder_checks import CHECKS

    @pytest.mark.parametrize('check', CHECKS.values(), ids=CHECKS)
    def test_my_encoder(check):
        check(MyEncoder)

Each check builds the encoder in its small size (:meth:`VideoEncoder.small`) and raises
AssertionError, with the reason, where it breaks the contract of
:class:`~internvideo.models.backbones.base.VideoEncoder`.
"""

import copy
import inspect
import io
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from internvideo.models.backbones.base import EncoderOutput, VideoEncoder
from internvideo.models.layers.attention import BACKENDS
from internvideo.registry import MODELS

Kind = type[VideoEncoder]
BATCH = 2


def registered_encoders() -> list[Kind]:
    """Every class in the registry of models that is a video encoder, by name."""
    MODELS.import_from_location()
    found = {kind for kind in MODELS.module_dict.values() if _is_encoder(kind)}
    return sorted(found, key=lambda kind: kind.__name__)


def _is_encoder(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, VideoEncoder)


# --- what the checks work with -------------------------------------------------------------------


def build(kind: Kind, **overrides: Any) -> VideoEncoder:
    """A small encoder in evaluation mode, its parameters far from where they start.

    Layer scales start near zero and some tables at zero, which would hide what blocks do.
    """
    torch.manual_seed(0)
    encoder = kind(**kind.small(**overrides)).eval()
    with torch.no_grad():
        for parameter in encoder.parameters():
            # Vectors stay around their first values: weights of norms near one, biases near zero.
            noise = torch.randn_like(parameter) * 0.1
            parameter.copy_(noise if parameter.ndim > 1 else parameter + noise)
    return encoder


def clips(encoder: VideoEncoder, seed: int = 0) -> Tensor:
    """(2, 3, T, H, W) normal noise of the encoder's size."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(BATCH, 3, encoder.num_frames, *encoder.img_size, generator=generator)


def num_patches(encoder: VideoEncoder) -> int:
    """Patch tokens of a clip."""
    steps, height, width = encoder.grid
    return steps * height * width


def takes(kind: Kind, argument: str) -> bool:
    """Whether the constructor has such an argument."""
    return argument in inspect.signature(kind.__init__).parameters


def relative_error(found: Tensor, expected: Tensor) -> float:
    """Norm of the difference over that of ``expected``."""
    return float((found.float() - expected).norm() / expected.norm())


def assert_equal(found: Tensor, expected: Tensor, what: str, tolerance: float = 1e-5) -> None:
    """Same shape and, up to ``tolerance`` of the largest value, same numbers."""
    assert found.shape == expected.shape, f'{what}: {tuple(found.shape)}, {tuple(expected.shape)}'
    worst = float((found - expected).abs().max())
    # Of the largest value: an element near zero may be a difference of large ones, with their
    # rounding.
    limit = tolerance * float(expected.abs().max())
    assert worst <= limit, f'{what}: differs by {worst:.2g}, allowed {limit:.2g}'


def assert_refused(call: Callable[[], Any], what: str) -> None:
    """``call`` raises ValueError."""
    try:
        call()
    except ValueError:
        return
    raise AssertionError(f'{what} is not refused by a ValueError')


# --- checks ---------------------------------------------------------------------------------------


def check_forward(kind: Kind) -> None:
    """Output and attributes say the same, and clips of another size are refused."""
    encoder = build(kind)
    video = clips(encoder)
    with torch.no_grad():
        output, again = encoder(video), encoder(video)
    assert isinstance(output, EncoderOutput), f'forward gives a {type(output).__name__}'
    tokens = encoder.num_prefix_tokens + num_patches(encoder)
    expected = (BATCH, tokens, encoder.embed_dim)
    assert output.tokens.shape == expected, f'tokens {tuple(output.tokens.shape)}, not {expected}'
    assert torch.isfinite(output.tokens).all(), 'tokens are not finite'
    assert torch.equal(output.tokens, again.tokens), 'evaluation is random'
    assert tuple(output.grid) == tuple(encoder.grid), f'grid {output.grid}, not {encoder.grid}'
    assert output.layers == [] and output.attn is None, 'layers or attention come unasked'
    if encoder.pooled_dim:
        assert output.pooled.shape == (BATCH, encoder.pooled_dim), 'pooled is not pooled_dim wide'
    else:
        assert output.pooled is None, 'pooled_dim is 0, but there is a pooled vector'
    assert not encoder.pooler_parts or encoder.pooled_dim, 'there is a pooler without pooled_dim'
    assert len(encoder.blocks) == encoder.depth, 'depth is not the number of blocks'
    assert_refused(lambda: encoder(video[..., :-1]), 'a clip of another size')
    assert_refused(lambda: encoder(video[0]), 'a clip without batch axis')


def check_attention_scores(kind: Kind) -> None:
    """Pooling attention is a share of each patch, or is refused."""
    encoder = build(kind)
    video = clips(encoder)
    if not encoder.gives_attn:
        assert_refused(lambda: encoder(video, return_attn=True), 'attention that there is not')
        return
    with torch.no_grad():
        attn = encoder(video, return_attn=True).attn
    assert attn.shape == (BATCH, num_patches(encoder)), f'attention has shape {tuple(attn.shape)}'
    assert (attn >= 0).all() and (attn.sum(dim=1) <= 1 + 1e-5).all(), 'attention is no share'


def check_backward(kind: Kind) -> None:
    """Every trainable parameter gets a gradient, the same when activations are recomputed."""
    encoder = build(kind).train()
    grads = _gradients(encoder)
    lost = [name for name, grad in grads.items() if grad is None]
    assert not lost, f'no gradient reaches {", ".join(lost)}'
    odd = [name for name, grad in grads.items() if not torch.isfinite(grad).all()]
    assert not odd, f'the gradient of {", ".join(odd)} is not finite'
    encoder.checkpoint_num = encoder.depth
    for name, grad in _gradients(encoder).items():
        assert_equal(grad, grads[name], f'{name} with recomputed activations', 1e-4)


def _gradients(encoder: VideoEncoder) -> dict[str, Tensor | None]:
    encoder.zero_grad(set_to_none=True)
    torch.manual_seed(1)  # dropped paths, if any
    output = encoder(clips(encoder))
    loss = output.tokens.square().mean()
    if output.pooled is not None:
        loss = loss + output.pooled.square().mean()
    loss.backward()
    trainable = [(name, p) for name, p in encoder.named_parameters() if p.requires_grad]
    return {name: None if p.grad is None else p.grad.clone() for name, p in trainable}


@torch.no_grad()
def check_layers(kind: Kind) -> None:
    """Check that chosen layers come in the order asked for and the last is the output."""
    encoder = build(kind)
    video, last = clips(encoder), encoder.depth - 1
    whole = encoder(video, return_layers=[last, 0])
    assert_equal(whole.layers[0], whole.tokens, 'the last layer')
    assert not torch.equal(whole.layers[1], whole.layers[0]) or last == 0, 'all layers are equal'
    part = encoder(video, return_layers=[0], layers_only=True)
    assert_equal(part.layers[0], whole.layers[1], 'a layer on its own')
    assert part.pooled is None, 'layers_only gives a pooled vector'
    for wrong in ([encoder.depth], [-1], [0, 0]):
        assert_refused(lambda wrong=wrong: encoder(video, return_layers=wrong), f'layers {wrong}')


@torch.no_grad()
def check_masks(kind: Kind) -> None:
    """Hidden patches leave no trace, and what is visible keeps its order."""
    encoder = build(kind)
    video, mask = clips(encoder), random_mask(encoder)
    if not encoder.takes_mask:
        assert_refused(lambda: encoder(video, mask), 'a mask for an encoder that takes none')
        return
    visible = int((~mask[0]).sum())
    output = encoder(video, mask)
    assert output.tokens.shape[1] == visible, f'{output.tokens.shape[1]} tokens, not {visible}'
    counted = encoder(video, mask, num_visible=visible)
    assert_equal(counted.tokens, output.tokens, 'tokens with num_visible')
    other = torch.where(hidden_pixels(encoder, mask), clips(encoder, seed=1), video)
    assert_equal(encoder(other, mask).tokens, output.tokens, 'tokens after hidden pixels change')
    everything = encoder(video, torch.zeros_like(mask)).tokens
    assert_equal(everything, encoder(video).tokens, 'tokens under a mask that hides none')
    uneven = mask.clone()
    uneven[0] = False
    assert_refused(lambda: encoder(video, uneven), 'a mask whose rows differ in visible tokens')
    assert_refused(lambda: encoder(video, mask[:, 1:]), 'a mask of another length')


def random_mask(encoder: VideoEncoder) -> Tensor:
    """(2, N) mask that hides half of the patches, others in each row, and no prefix token."""
    patches = num_patches(encoder)
    ranks = torch.rand(BATCH, patches, generator=torch.Generator().manual_seed(0)).argsort(1)
    prefix = torch.zeros(BATCH, encoder.num_prefix_tokens, dtype=torch.bool)
    return torch.cat([prefix, ranks < patches // 2], dim=1)


def hidden_pixels(encoder: VideoEncoder, mask: Tensor) -> Tensor:
    """(2, 1, T, H, W) True where a pixel belongs to a hidden patch."""
    pixels = mask[:, encoder.num_prefix_tokens :].unflatten(1, encoder.grid)
    sizes = (encoder.num_frames, *encoder.img_size)
    for axis, (size, count) in enumerate(zip(sizes, encoder.grid, strict=True), start=1):
        pixels = pixels.repeat_interleave(size // count, dim=axis)
    return pixels[:, None]


def check_freezing(kind: Kind) -> None:
    """Check that frozen parts do not learn and stay in evaluation mode."""
    for open_blocks, open_pooler in ((0, False), (1, False), (1, True)):
        encoder = build(kind)
        encoder.freeze(open_blocks=open_blocks, open_pooler=open_pooler)
        # As training loops do before every epoch, which must not wake what is frozen.
        encoder.train()
        opened = [*encoder.blocks[encoder.depth - open_blocks :]]
        opened += encoder.pooler_parts if open_pooler else ()
        modules = [part for part in opened if isinstance(part, nn.Module)]
        inside = {id(part) for part in opened} | {id(p) for m in modules for p in m.parameters()}
        for name, parameter in encoder.named_parameters():
            learns = id(parameter) in inside
            assert parameter.requires_grad == learns, (
                f'{name} {"is frozen" if learns else "learns"} with open_blocks={open_blocks}, '
                f'open_pooler={open_pooler}'
            )
        modes = {id(module) for part in modules for module in part.modules()}
        # These hold both open and frozen parts: their own mode says nothing.
        holders = (m for m in encoder.modules() if any(c is encoder.blocks for c in m.modules()))
        containers = {id(module) for module in holders}
        wrong = [
            name
            for name, module in encoder.named_modules()
            if id(module) not in containers and module.training != (id(module) in modes)
        ]
        assert not wrong, f'wrong mode after train(): {", ".join(wrong)}'
        learns = encoder(clips(encoder)).tokens.requires_grad
        assert learns == bool(open_blocks), 'the backward pass reaches what is frozen'
    assert_refused(lambda: encoder.freeze(encoder.depth + 1), 'more open blocks than there are')


def check_layer_depth(kind: Kind) -> None:
    """Check that each parameter has a layer, blocks their own and inputs the first."""
    encoder = build(kind)
    layers: dict[int, list[str]] = {}
    for name, _ in encoder.named_parameters():
        # With a prefix, which the names have inside a model.
        layer, count = encoder.get_layer_depth(f'a.{name}', 'a.')
        assert count == encoder.depth + 2, f'{name}: {count} layers, not depth + 2'
        assert 0 <= layer < count, f'{name}: layer {layer} of {count}'
        layers.setdefault(layer, []).append(name)
    for index, block in enumerate(encoder.blocks):
        own = {id(p) for p in block.parameters()}
        names = {name for name, p in encoder.named_parameters() if id(p) in own}
        assert set(layers.get(index + 1, ())) == names, f'layer {index + 1} is not block {index}'
    assert layers.get(0), 'no parameter is in layer 0, where the clip comes in'


def check_no_weight_decay(kind: Kind) -> None:
    """Names that are not decayed exist, position tables among them."""
    encoder = build(kind)
    there, named = dict(encoder.named_parameters()), encoder.no_weight_decay()
    assert named <= there.keys(), f'there is no {", ".join(sorted(named - there.keys()))}'
    tables = {name for name, table in encoder.position_tables().items() if table.learned}
    assert tables <= named, f'{", ".join(sorted(tables - named))} would be decayed'


@torch.no_grad()
def check_position_tables(kind: Kind) -> None:
    """Tables are declared as they are, and an encoder of another size runs with resized ones."""
    encoder = build(kind)
    state, tables = _entries(encoder), encoder.position_tables()
    rows = {n: p.shape[1] for n, p in encoder.named_parameters(recurse=False) if p.ndim == 3}
    undeclared = [n for n in rows if 'pos_embed' in n and rows[n] > 1 and n not in tables]
    assert not undeclared, f'position_tables() does not name {", ".join(undeclared)}'
    height, width = encoder.img_size
    changes: list[dict[str, Any]] = [dict(img_size=2 * height)] if height == width else []
    if takes(kind, 'num_frames'):
        changes += [dict(num_frames=2 * encoder.num_frames)]
        changes += [dict(change, num_frames=2 * encoder.num_frames) for change in changes[:1]]
    for change in changes:
        other = build(kind, **change)
        wanted, resized = _entries(other), dict(encoder.state_dict())
        for name, table in tables.items():
            old, new = encoder.grid, other.grid
            # CLIP's tables have no batch axis.
            assert state[name].shape[-2] == table.num_rows(old), f'{name}: rows are not those said'
            assert wanted[name].shape[-2] == table.num_rows(new), f'{name}: rows of {change}'
            if not table.learned:
                resized.pop(name, None)
                if name in other.state_dict():
                    resized[name] = wanted[name]
                continue
            resized[name] = table.resize(state[name], old, new)
            assert_equal(table.resize(state[name], old, old), state[name], f'{name} as it is')
            # Weights of an interpolation sum to one, at the borders too.
            flat = table.resize(torch.ones_like(state[name]), old, new)
            assert_equal(flat, torch.ones_like(flat), f'a constant {name}, resized')
        other.load_state_dict(resized)
        assert torch.isfinite(other(clips(other)).tokens).all(), f'not finite with {change}'


def _entries(encoder: VideoEncoder) -> dict[str, Tensor]:
    """Parameters and buffers, those that are not saved as well."""
    return dict(encoder.named_parameters()) | dict(encoder.named_buffers())


@torch.no_grad()
def check_saving(kind: Kind) -> None:
    """Check that a saved state makes an equal encoder and copies have the same names."""
    encoder = build(kind)
    file = io.BytesIO()
    torch.save(encoder.state_dict(), file)
    file.seek(0)
    loaded = kind(**kind.small()).eval()
    loaded.load_state_dict(torch.load(file, weights_only=True))
    expected = encoder(clips(encoder))
    for other, what in ((loaded, 'a loaded'), (copy.deepcopy(encoder), 'a copied')):
        assert torch.equal(other(clips(other)).tokens, expected.tokens), f'{what} encoder differs'
    with torch.device('meta'):
        # As adapters and the rehearsal build it.
        weightless = kind(**kind.small())
    shapes = {name: value.shape for name, value in weightless.state_dict().items()}
    assert shapes == {name: value.shape for name, value in encoder.state_dict().items()}, (
        'the encoder has other entries when it is built on the meta device'
    )


@torch.no_grad()
def check_bfloat16(kind: Kind) -> None:
    """Under autocast, and with weights in bfloat16, the numbers are those of float32, rounded."""
    encoder = build(kind)
    video = clips(encoder)
    expected = encoder(video)
    with torch.autocast('cpu', torch.bfloat16):
        cast = encoder(video)
    # As DeepSpeed trains: weights in bfloat16 and no autocast.
    low = copy.deepcopy(encoder).bfloat16()(video.bfloat16())
    for output, how in ((cast, 'under autocast'), (low, 'in bfloat16')):
        pairs = [('tokens', output.tokens, expected.tokens)]
        if expected.pooled is not None:
            pairs.append(('pooled', output.pooled, expected.pooled))
        for what, found, exact in pairs:
            error = relative_error(found, exact)
            assert error < 0.03, f'{what} {how}: relative error {error:.2g}'


@torch.no_grad()
def check_attention_backends(kind: Kind) -> None:
    """Check that attention kernels give the same numbers or a clear error."""
    if not takes(kind, 'attn_backend'):
        return
    expected = None
    for backend in ('sdpa', 'auto', *BACKENDS):
        try:
            encoder = build(kind, attn_backend=backend)
        except ImportError:
            assert backend == 'flash_attn', f'attn_backend={backend!r} needs a package'
            continue
        if backend == 'flash_attn':  # computes in half precision on a GPU alone
            continue
        tokens = encoder(clips(encoder)).tokens
        expected = tokens if expected is None else expected
        assert_equal(tokens, expected, f'tokens with attn_backend={backend!r}')
    assert_refused(lambda: build(kind, attn_backend='none such'), 'an unknown attn_backend')


def check_named_sizes(kind: Kind) -> None:
    """Every named size can be built, as wide and deep as it says."""
    for name, fields in kind.ARCHITECTURES.items():
        with torch.device('meta'):
            # Some have billions of parameters: only their sizes are built.
            encoder = kind(arch=name)
        found = (encoder.embed_dim, encoder.depth)
        assert found == (fields['embed_dim'], fields['depth']), f'{name} is {found}'


_ALL: Sequence[Callable[[Kind], None]] = (
    check_forward,
    check_attention_scores,
    check_backward,
    check_layers,
    check_masks,
    check_freezing,
    check_layer_depth,
    check_no_weight_decay,
    check_position_tables,
    check_saving,
    check_bfloat16,
    check_attention_backends,
    check_named_sizes,
)
CHECKS: dict[str, Callable[[Kind], None]] = {
    check.__name__.removeprefix('check_'): check for check in _ALL
}
"""Name -> check of an encoder class."""
