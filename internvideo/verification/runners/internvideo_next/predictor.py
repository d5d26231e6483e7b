"""The predictor: layers of a text model over given tokens."""

from typing import Any

import torch

from internvideo.models.text.modernbert import ModernBertLayers
from internvideo.verification.cases import Case, RunEnv
from internvideo.verification.facts import Facts
from internvideo.verification.runner_registry import Result, parity_runner

from .common import fill_module, given

PREFIX = 'bert_decoder.'
UNUSED = (f'{PREFIX}embeddings.', f'{PREFIX}final_norm.')


def predictor_config(facts: Facts) -> dict[str, Any]:
    """Config of the predictor, checked for what its facts say twice."""
    layers, ids = facts['num_hidden_layers'], list(facts['layer_ids'])
    facts.require(
        layer_ids=list(range(layers - len(ids), layers)),
        window_each_side=facts['local_attention'] // 2,
    )
    facts.ignore('vocab_size')  # rows of embeddings that nothing uses
    names = ('hidden_size', 'num_heads', 'intermediate_size', 'local_attention')
    names = (*names, 'global_layer_ids', 'global_rope_theta', 'local_rope_theta')
    return dict(type='ModernBertLayers', layer_ids=ids, **{name: facts[name] for name in names})


@parity_runner('internvideo_next/predictor')
@torch.no_grad()
def run_predictor(case: Case, env: RunEnv) -> Result:
    """Output of each layer."""
    case.facts.require(model='InternVideo-Next predictor (last five ModernBERT layers)')
    config = predictor_config(case.facts['predictor'])
    del config['type']
    layers = fill_module(
        ModernBertLayers(**config), case, env, lambda name: name.removeprefix(PREFIX), UNUSED
    )
    found = layers(given(case, 'tokens', env), return_layers=True)
    return Result({f'layer_{index}': out for index, out in enumerate(found)})
