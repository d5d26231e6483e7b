"""Probes with learned queries on given tokens."""

from torch.nn.functional import cross_entropy

from internvideo.models.backbones.base import EncoderOutput
from internvideo.models.heads.attentive_classifier import AttentiveClassifierHead
from internvideo.verification.cases import Case, RunEnv
from internvideo.verification.runner_registry import Result, parity_runner

from .common import fill_module, given, gradients


@parity_runner('internvideo_next/attentive_probe_vjepa2')
def run_query_probe(case: Case, env: RunEnv) -> Result:
    """Pooled vector, logits, and a loss with its gradients."""
    facts = case.facts
    facts.require(model='V-JEPA 2 attentive classifier', layer_norm_eps=1e-5, num_queries=1)
    head = AttentiveClassifierHead(
        facts['num_classes'],
        facts['embed_dim'],
        facts['num_heads'],
        facts['depth'],
        facts['mlp_ratio'],
        env.attn_backend,
    )
    fill_module(head, case, env)
    tokens = given(case, 'tokens', env)
    features = EncoderOutput(tokens, None, [], None, (1, 1, tokens.shape[1]))
    logits = head(features)
    loss = cross_entropy(logits, given(case, 'labels', env))
    outputs = dict(pooled=head.pooler(tokens), logits=logits, loss=loss)
    return Result(outputs | gradients(head, loss, facts['grad_of']))
