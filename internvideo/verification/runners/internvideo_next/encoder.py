"""The encoder, its position tables, its pooling as a probe, and masks without a teacher."""

import torch
from torch import Tensor, nn

from internvideo.models.backbones.internvideo_next import joint_table, resized_table
from internvideo.models.layers.attention_pool import AttentionPooling
from internvideo.models.layers.position import sincos_1d, sincos_2d, sincos_3d
from internvideo.models.losses.classification import LabelSmoothingCrossEntropy
from internvideo.models.masks.motion_masks import motion_mask
from internvideo.models.tasks.pretraining.teachers import aligned_layers
from internvideo.registry import MODELS
from internvideo.verification.cases import Case, CaseError, RunEnv
from internvideo.verification.expressions import evaluate
from internvideo.verification.facts import Facts
from internvideo.verification.runner_registry import Result, parity_runner

from .common import encoder_config, fill_module, given, gradients

STREAM = 'x + residual after the last block, no final norm'
NORMS = 'RMSNorm eps 1e-6 (blocks, patch embed); LayerNorm eps 1e-5 (clip_projector)'


@parity_runner('internvideo_next/backbone')
def run_encoder(case: Case, env: RunEnv) -> Result:
    """Tokens of every block, the pooled vector, and a loss with its gradients."""
    facts = case.facts
    facts.require(model='InternVideo-Next backbone', residual_stream=STREAM, norm=NORMS)
    encoder = fill_module(MODELS.build(encoder_config(facts, env)), case, env)
    video, blocks = given(case, 'video', env), list(facts['record_blocks'])
    with torch.set_grad_enabled(facts.get('loss') is not None):
        found = encoder(video, return_layers=blocks)
        outputs = dict(
            patch_embed=encoder.patch_embed(video),
            tokens=found.tokens[:, encoder.num_prefix_tokens :],
            pooled=found.pooled,
        )
        outputs |= {f'block_{i}': layer for i, layer in zip(blocks, found.layers, strict=True)}
        if facts.get('loss') is None:
            if facts['grad_of']:
                raise CaseError('the case lists gradients, but no loss')
            return Result(outputs)
        loss = evaluate(facts['loss'], outputs)
    return Result(outputs | dict(loss=loss) | gradients(encoder, loss, facts['grad_of']))


def _table(facts: Facts) -> Tensor:
    kind, width, rows = facts['kind'], facts['dim'], facts['cls']
    if kind in ('3d', '3d_rect'):
        size = (facts['grid'],) * 2 if kind == '3d' else tuple(facts['grid'])
        if rows:
            return joint_table(width, (facts['t'], *size), rows)[0]
        return sincos_3d(width, facts['t'], size)
    if kind == '2d':
        table = sincos_2d(width, (facts['grid'],) * 2)
    elif kind == '1d':
        table = sincos_1d(width, facts['t'])
    else:
        raise CaseError(f'unknown kind of table {kind!r}')
    return nn.functional.pad(table, (0, 0, rows, 0))


@parity_runner('internvideo_next/pos_tables')
def run_tables(case: Case, env: RunEnv) -> Result:
    """Sine-cosine tables."""
    return Result({table['name']: _table(table) for table in case.facts['tables']})


@parity_runner('internvideo_next/pos_embed_interp')
def run_resizing(case: Case, env: RunEnv) -> Result:
    """Tables resized as the encoder does for clips of another size."""
    names, outputs = case.facts['input_names'], {}
    for facts in case.facts['cases']:
        facts.require(input=names[facts['name']])
        table = env.tensor(case.inputs[facts['input']])
        facts.require(C=table.shape[-1])
        old, new = ((facts[f'T{i}'], facts[f'G{i}'], facts[f'G{i}']) for i in (0, 1))
        outputs[facts['name']] = resized_table(table, old, new, facts['cls'])
    return Result(outputs)


@parity_runner('internvideo_next/dynamic_mask')
def run_motion_mask(case: Case, env: RunEnv) -> Result:
    """Masks by motion, with the reference's choice between equal scores."""
    names, outputs = case.facts['input_names'], {}
    for facts in case.facts['cases']:
        facts.require(input=names[facts['name']])
        patches = env.tensor(case.inputs[facts['input']])
        facts.require(**dict(zip('BTLC', patches.shape, strict=True)))
        mask = motion_mask(patches, facts['ratio'])
        for row, visible, hidden in facts['tie_break']:
            # Either of two equal scores may stay; ours is the one that comes first.
            if mask[row, visible] and not mask[row, hidden]:
                mask[row, visible], mask[row, hidden] = False, True
        outputs[facts['name']] = mask.to(torch.uint8)
    return Result(outputs)


@parity_runner('internvideo_next/return_indices')
def run_return_indices(case: Case, env: RunEnv) -> Result:
    """Aligned layers of student and teacher."""
    return Result(
        {
            facts['name']: torch.tensor(
                aligned_layers(facts['depth'], dict(count=facts['n'], interval=facts['interval']))
            )
            for facts in case.facts['cases']
        }
    )


class MeanQueryProbe(nn.Module):
    """Attention pooling by the mean token, and a linear classifier."""

    def __init__(self, facts: Facts, backend: str) -> None:
        super().__init__()
        self.pool = AttentionPooling(facts['dim'], facts['num_heads'], facts['out_dim'], backend)
        self.head = nn.Linear(facts['out_dim'], facts['num_classes'])


@parity_runner('internvideo_next/attentive_probe_mean')
def run_mean_query_probe(case: Case, env: RunEnv) -> Result:
    """The paper's own probe on given tokens."""
    facts = case.facts
    facts.require(model='mean-query attention pooling head', layer_norm_eps=1e-5)
    probe = fill_module(MeanQueryProbe(facts, env.attn_backend), case, env)
    pooled, _ = probe.pool(given(case, 'tokens', env))
    logits = probe.head(pooled)
    loss = LabelSmoothingCrossEntropy(facts['smoothing'])(logits, given(case, 'labels', env))
    outputs = dict(pooled=pooled, logits=logits, loss=loss)
    return Result(outputs | gradients(probe, loss, facts['grad_of']))
