"""The published encoders once more, in a few plain lines of float64, to compare the models with.

Nothing here shares code with the package.  A state dict with published names and the facts of a
model go in; features come out.
"""

from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

State = Mapping[str, Tensor]


def plain_rms(x: Tensor, weight: Tensor) -> Tensor:
    return x / (x.square().mean(-1, keepdim=True) + 1e-6).sqrt() * weight


def plain_norm(state: State, name: str, x: Tensor, eps: float) -> Tensor:
    return F.layer_norm(x, x.shape[-1:], state[f'{name}.weight'], state[f'{name}.bias'], eps)


def plain_linear(state: State, name: str, x: Tensor) -> Tensor:
    return F.linear(x, state[f'{name}.weight'], state.get(f'{name}.bias'))


def split_heads(x: Tensor, heads: int) -> Tensor:
    """(B, N, D) -> (B, heads, N, D / heads)."""
    return x.unflatten(-1, (heads, -1)).transpose(1, 2)


def plain_attention(q: Tensor, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
    """Output and weights of attention over (B, heads, N, d)."""
    weights = (q @ k.transpose(-1, -2) / q.shape[-1] ** 0.5).softmax(-1)
    return weights @ v, weights


def plain_patches(state: State, video: Tensor) -> Tensor:
    """(B, N, D), time-major, then rows."""
    kernel = state['patch_embed.proj.weight']
    bias = state['patch_embed.proj.bias']
    return F.conv3d(video, kernel, bias, stride=kernel.shape[2:]).flatten(2).transpose(1, 2)


def plain_table(state: State) -> Tensor:
    if 'pos_embed' in state:
        return state['pos_embed'][0]
    steps, patches = state['pos_embed_temporal'][0], state['pos_embed_spatial'][0]
    rows = [step + patch for step in steps for patch in patches]
    return torch.cat([state['pos_embed_cls'][0], torch.stack(rows)])


def plain_visible(x: Tensor, mask: Tensor | None) -> Tensor:
    return x if mask is None else torch.stack([a[~m] for a, m in zip(x, mask, strict=True)])


def plain_block(state: State, x: Tensor, facts: Mapping[str, Any]) -> Tensor:
    """One block; ``state`` holds the names below it."""
    q, k, v = plain_linear(state, 'attn.qkv', plain_rms(x, state['norm1.weight'])).chunk(3, -1)
    if facts['qk_normalization']:
        q, k = (plain_rms(a, state[f'attn.{n}_norm.weight']) for a, n in ((q, 'q'), (k, 'k')))
    out, _ = plain_attention(*(split_heads(a, facts['num_heads']) for a in (q, k, v)))
    branch = plain_linear(state, 'attn.proj', out.transpose(1, 2).flatten(2))
    x = x + branch * state.get('ls1.gamma', 1)
    hidden = plain_linear(state, 'mlp.fc1', plain_rms(x, state['norm2.weight']))
    approximate = 'tanh' if facts['act'] == 'gelu_tanh' else 'none'
    branch = plain_linear(state, 'mlp.fc2', F.gelu(hidden, approximate=approximate))
    return x + branch * state.get('ls2.gamma', 1)


def plain_pool(state: State, x: Tensor, heads: int) -> tuple[Tensor, Tensor]:
    """Pooled vector and attention to the patches, averaged over heads."""
    sources = dict(q=x.mean(1, keepdim=True), k=x, v=x)
    q, k, v = (
        split_heads(
            plain_linear(state, f'cross_attn.{n}', plain_norm(state, f'norm1_{n}', a, 1e-5))
            + state[f'cross_attn.{n}_bias'],
            heads,
        )
        for n, a in sources.items()
    )
    out, weights = plain_attention(q, k, v)
    pooled = plain_linear(state, 'cross_attn.proj', out.transpose(1, 2).flatten(2)[:, 0])
    return pooled, weights.mean(1)[:, 0, 1:]


def below(state: State, prefix: str) -> dict[str, Tensor]:
    """The entries below ``prefix``, without it."""
    start = f'{prefix}.'
    return {name[len(start) :]: value for name, value in state.items() if name.startswith(start)}


def plain_encoder(
    state: State, video: Tensor, facts: Mapping[str, Any], mask: Tensor | None = None
) -> tuple[list[Tensor], Tensor, Tensor]:
    """Streams after every block, pooled vector and pooling attention of InternVideo2."""
    patches = plain_patches(state, video)
    x = torch.cat([state['cls_token'].expand(len(video), -1, -1), patches], 1)
    x, streams = plain_visible(x + plain_table(state), mask), []
    for index in range(facts['depth']):
        x = plain_block(below(state, f'blocks.{index}'), x, facts)
        streams.append(x)
    pooled, attn = plain_pool(below(state, 'clip_projector'), x, facts['attn_pool_num_heads'])
    return streams, pooled, attn


def plain_image_encoder(
    state: State, video: Tensor, facts: Mapping[str, Any]
) -> tuple[list[Tensor], Tensor, Tensor]:
    """The image tower frame by frame: class tokens and pooled vectors averaged over frames."""
    steps = video.shape[2]
    frames = [plain_encoder(state, video[:, :, t, None], facts) for t in range(steps)]
    streams = [
        torch.cat([torch.stack([x[:, :1] for x in layer]).mean(0), *(x[:, 1:] for x in layer)], 1)
        for layer in zip(*(streams for streams, _, _ in frames), strict=True)
    ]
    pooled = torch.stack([pooled for _, pooled, _ in frames]).mean(0)
    return streams, pooled, torch.cat([attn for _, _, attn in frames], 1)


def plain_videomae_block(
    state: State, x: Tensor, heads: int, layout: str, qk_scale: float | None
) -> Tensor:
    q, k, v = plain_linear(state, 'attn.qkv', plain_norm(state, 'norm1', x, 1e-6)).chunk(3, -1)
    if 'attn.q_bias' in state:
        q, v = q + state['attn.q_bias'], v + state['attn.v_bias']
    if qk_scale is not None:
        q = q * qk_scale * (q.shape[-1] / heads) ** 0.5  # plain_attention divides by it
    if layout == 'published':
        # The kernel takes the heads for tokens; its result is read as if it had not.
        q, k, v = (a.unflatten(-1, (heads, -1)) for a in (q, k, v))
        out = plain_attention(q, k, v)[0].transpose(1, 2).contiguous().view(x.shape)
    else:
        out = plain_attention(*(split_heads(a, heads) for a in (q, k, v)))[0]
        out = out.transpose(1, 2).flatten(2)
    x = x + plain_linear(state, 'attn.proj', out) * state.get('gamma_1', 1)
    hidden = plain_linear(state, 'mlp.fc1', plain_norm(state, 'norm2', x, 1e-6))
    return x + plain_linear(state, 'mlp.fc2', F.gelu(hidden)) * state.get('gamma_2', 1)


def plain_videomae(
    state: State, video: Tensor, facts: Mapping[str, Any], mask: Tensor | None = None
) -> list[Tensor]:
    """Streams after every block of VideoMAE, the last one normalised."""
    x, streams = plain_visible(plain_patches(state, video) + state['pos_embed'], mask), []
    for index in range(facts['depth']):
        part = below(state, f'blocks.{index}')
        layout, qk_scale = facts['attention_layout'], facts.get('qk_scale')
        x = plain_videomae_block(part, x, facts['num_heads'], layout, qk_scale)
        streams.append(x)
    return [*streams[:-1], plain_norm(state, 'norm', streams[-1], 1e-6)]
