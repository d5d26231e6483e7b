"""Runners of the text towers and of masked language modelling."""

from typing import Any

from torch import Tensor, nn

from internvideo.checkpoint.adapters.internvideo2_multi import base_layer_name
from internvideo.models.losses.masked_language import (
    MaskingDraws,
    TokenMasker,
    masked_language_loss,
)
from internvideo.registry import MODELS
from internvideo.verification.cases import Case, RunEnv
from internvideo.verification.facts import Facts
from internvideo.verification.runner_registry import Result, parity_runner

from .common import (
    check_returned,
    check_ties,
    load_filled,
    loss_outputs,
    role_or_none,
    stored_gradients,
)

BERT_FIELDS = (
    'hidden_size',
    'num_attention_heads',
    'num_hidden_layers',
    'intermediate_size',
    'vocab_size',
    'max_position_embeddings',
    'type_vocab_size',
    'hidden_act',
    'layer_norm_eps',
    'hidden_dropout_prob',
    'attention_probs_dropout_prob',
    'pad_token_id',
    'fusion_layer',
)
BERT_CLASSES = dict(masked_lm='FusionBertForMaskedLM', plain='FusionBert')


def bert_config(facts: Facts, env: RunEnv, masked_lm: bool) -> dict[str, Any]:
    """Config of our BERT for the facts of a case."""
    facts.require(cross_module='ca')
    backend = env.attn_backend if env.attn_backend in ('sdpa', 'eager') else 'auto'
    return dict(
        type=BERT_CLASSES['masked_lm' if masked_lm else 'plain'],
        arch={name: facts[name] for name in BERT_FIELDS},
        media_dim=facts['encoder_width'],
        attn_backend=backend,
        is_decoder=facts.get('is_decoder', False),
    )


def same_name(published: str) -> str:
    return published


@parity_runner('internvideo2_multi/bert')
def run_bert(case: Case, env: RunEnv) -> Result:
    facts = case.facts
    model = MODELS.build(bert_config(facts, env, facts['class_'] == 'masked_lm'))
    model = load_filled(model, case, env, same_name)
    given = {
        name: role_or_none(case, env, name)
        for name in ('input_ids', 'encoder_embeds', 'attention_mask', 'vision', 'vision_attention')
    }
    fused = facts['mode'] == 'fusion'
    hidden = model(
        None if fused else given['input_ids'],
        given['attention_mask'],
        embeds=given['encoder_embeds'] if fused else None,
        media=given['vision'],
        media_mask=given['vision_attention'],
        mode=facts['mode'],
    )
    outputs = dict(hidden=hidden)
    if facts['class_'] == 'masked_lm':
        outputs['logits'] = model.predict_tokens(hidden)

    def masked_lm() -> Tensor:
        return masked_language_loss(outputs['logits'], env.tensor(case.role('labels')))

    check_ties(model, case, same_name)
    check_returned(case, outputs)
    own = dict(masked_lm=masked_lm) if 'logits' in outputs else {}
    return Result(outputs | loss_outputs(model, case, env, same_name, outputs, **own))


def masking_draws(case: Case, env: RunEnv, prefix: str = '') -> MaskingDraws:
    """The random draws that a case gives."""
    names = ('draw_mask', 'draw_replace', 'draw_random', 'random_words')
    return MaskingDraws(*(env.tensor(case.role(f'{prefix}{name}')) for name in names))


class MaskedTextModel(nn.Module):
    """A text encoder under the name that it has in a whole model."""

    def __init__(self, config: dict[str, Any]) -> None:
        super().__init__()
        self.text_encoder = MODELS.build(config)


@parity_runner('internvideo2_multi/mlm_explicit')
def run_masked_language(case: Case, env: RunEnv) -> Result:
    facts = case.facts
    model = load_filled(MaskedTextModel(bert_config(facts, env, True)), case, env, same_name)
    masker = TokenMasker(
        facts['masking_prob'],
        facts['vocab_size'],
        facts['mask_token'],
        facts['pad'],
        facts['cls'],
    )
    ids, mask = (env.tensor(case.role(name)) for name in ('input_ids', 'attention_mask'))
    facts.ignore('sep')  # a separator may be a target, as published
    facts.require(loss='own')
    check_ties(model, case, same_name)
    masked, labels = masker(ids, masking_draws(case, env))
    text = model.text_encoder
    hidden = text(masked, mask, media=env.tensor(case.role('vision')))
    loss = masked_language_loss(text.predict_tokens(hidden), labels)
    outputs = dict(masked_input_ids=masked, labels=labels)
    return Result(outputs | stored_gradients(model, loss, case, same_name))


def llama_config(facts: dict[str, Any], lora: dict[str, Any] | None) -> dict[str, Any]:
    """Config of our LLaMA text tower."""
    names = (
        'hidden_size',
        'intermediate_size',
        'num_hidden_layers',
        'num_attention_heads',
        'vocab_size',
        'max_position_embeddings',
        'rms_norm_eps',
        'pad_token_id',
        'bos_token_id',
        'eos_token_id',
        'hidden_act',
    )
    arch = {name: facts[name] for name in names}
    return dict(type='LlamaText', arch=arch, lora=lora)


def lora_fields(facts: dict[str, Any]) -> dict[str, Any] | None:
    targets = facts.get('lora_targets', ['q_proj', 'v_proj'])
    fields = dict(r=facts.get('lora_r'), alpha=facts.get('lora_alpha'), targets=targets)
    return fields if facts['use_lora'] else None


@parity_runner('internvideo2_multi/llama_text')
def run_llama(case: Case, env: RunEnv) -> Result:
    facts = case.facts
    config = llama_config(facts, lora_fields(facts)) | dict(out_dim=facts['clip_embed_dim'])
    model = MODELS.build(config)
    own = set(model.state_dict())
    model = load_filled(model, case, env, lambda name: base_layer_name(name, own))

    def to_ours(name: str) -> str:
        return base_layer_name(name, own)

    outputs = dict(feature=model(env.tensor(case.role('tokens'))))
    return Result(outputs | loss_outputs(model, case, env, to_ours, outputs))


def mobileclip_config(facts: Facts) -> dict[str, Any]:
    """Config of our MobileCLIP text tower."""
    facts.require(model_name='base')
    names = (
        'context_length',
        'vocab_size',
        'dim',
        'ffn_multiplier_per_layer',
        'n_heads_per_layer',
        'n_transformer_layers',
        'norm_layer',
        'causal_masking',
        'no_pos_embedding',
    )
    return dict(type='MobileCLIPText') | {name: facts[name] for name in names if name in facts}


@parity_runner('internvideo2_multi/mobileclip_text')
def run_mobileclip(case: Case, env: RunEnv) -> Result:
    facts = case.facts
    config = mobileclip_config(facts) | dict(projection_dim=facts['projection_dim'])
    model = load_filled(MODELS.build(config), case, env, same_name)
    tokens, padding = env.tensor(case.role('tokens')), role_or_none(case, env, 'padding')
    facts.require(length=tokens.shape[1])
    hidden = model.encode_tokens(tokens, None if padding is None else padding.bool())
    outputs = dict(tokens=hidden, feature=model.pool(hidden, tokens))
    check_returned(case, outputs)
    return Result(outputs | loss_outputs(model, case, env, same_name, outputs))
