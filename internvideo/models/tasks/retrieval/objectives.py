"""Objectives of stage 2: which exist, what each needs, and which a batch allows.

Source: arXiv 2403.15377, section 3.2.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from torch import Tensor

CONTRASTIVE = dict(
    vtc=('vision', 'text'),
    atc=('audio', 'text'),
    avc=('audio', 'vision'),
    avtc=('audio_vision', 'text'),
)
MATCHING = dict(vtm='vision', atm='audio', avtm='audio_vision')
LANGUAGE = dict(mlm='vision', amlm='audio', avmlm='audio_vision')
# itm, image-text matching, is the published name of the visual head.
HEADS = dict(vtm='itm_head', atm='atm_head', avtm='avtm_head')
OBJECTIVES = ('uta', *CONTRASTIVE, *MATCHING, *LANGUAGE)
AUDIO_OBJECTIVES = ('atc', 'avc', 'avtc', 'atm', 'avtm', 'amlm', 'avmlm')


def active_objectives(media: Iterable[str], weights: Mapping[str, float]) -> set[str]:
    """Objectives with a weight whose media are in the batch.

    In batches of audio and text alone the weight of ``mlm`` decides whether masked language
    modelling on audio runs, as published.
    """
    media = set(media)
    needs = {name: {first, second} - {'text'} for name, (first, second) in CONTRASTIVE.items()}
    needs |= {name: {modality} for name, modality in (MATCHING | LANGUAGE).items()}
    gates = {name: weights.get(name, 0.0) for name, wanted in needs.items() if wanted <= media}
    if media == {'audio'}:
        gates['amlm'] = weights.get('mlm', 0.0)
    return {name for name, gate in gates.items() if gate}


def check_weights(weights: Mapping[str, float]) -> dict[str, float]:
    """Check the weights of the objectives, which must be known and not negative."""
    unknown = sorted(set(weights) - set(OBJECTIVES))
    if unknown or min(weights.values(), default=0) < 0:
        raise ValueError(
            f'loss_weights must be of {", ".join(OBJECTIVES)} and not negative, got {dict(weights)}'
        )
    return dict(weights)


def captions_by_kind(texts: Mapping[str, Any]) -> dict[str | None, Mapping[str, Tensor]]:
    """Map from kind of caption to tokens, with the kind None for captions of one unnamed kind."""
    return {None: texts} if 'input_ids' in texts else dict(texts)
