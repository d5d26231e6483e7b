"""Runners of the whole stage-2 and CLIP models, and of their optimiser groups."""

import dataclasses
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from internvideo.checkpoint.adapters.internvideo2_multi import base_layer_name
from internvideo.engine.optimizers.constructors import no_decay_names
from internvideo.engine.optimizers.parameter_groups import takes_no_decay
from internvideo.models.losses.masked_language import MaskingDraws
from internvideo.models.losses.matching import Negatives, negative_weights
from internvideo.models.masks.token_masks import Masker
from internvideo.models.tasks.retrieval.objectives import AUDIO_OBJECTIVES, LANGUAGE, MATCHING
from internvideo.models.tasks.retrieval.stage2 import PARTS
from internvideo.registry import MODELS
from internvideo.structures import VideoDataSample
from internvideo.verification.cases import Case, CaseError, RunEnv
from internvideo.verification.facts import Facts
from internvideo.verification.runner_registry import Result, parity_runner

from .audio import BEATS_FIELDS
from .common import (
    check_ties,
    load_filled,
    loss_outputs,
    published_state,
    role_or_none,
)
from .losses import given_negatives
from .text import (
    bert_config,
    llama_config,
    lora_fields,
    masking_draws,
    mobileclip_config,
)
from .vision import (
    DECODER_PARTS,
    encoder_config,
    layer_choice,
    student_configs,
    teacher_config,
)

PUBLISHED_LOSSES = ('uta', 'vtc', 'vtm', 'mlm')
VISION = 'vision_encoder.'
TEACHER = 'clip_teacher.'


class CaseMask(Masker):
    """Mask of a case in place of a drawn one, which keeps the attention it was shown."""

    def __init__(self, mask: Tensor, needs_attention: bool) -> None:
        self.mask, self.needs_attention, self.attn = mask, needs_attention, None

    def __call__(self, attn: Tensor | None, *_: Any) -> Tensor:
        self.attn = attn
        return self.mask

    def num_visible(self, grid: tuple[int, int, int]) -> int:
        return int((~self.mask[0]).sum())


class GivenNegatives:
    """Hands out the negatives of a case, one objective after the other."""

    def __init__(self, draws: dict[str, Negatives]) -> None:
        self.draws, self.kept = draws, {}

    def __call__(self, media: Tensor, text: Tensor, temp: Tensor, ids: Tensor | None) -> Negatives:
        name = next(iter(self.draws))
        suffix = f':{name}' if name else ''
        names = (f'weights_v2t{suffix}', f'weights_t2v{suffix}')
        weights = negative_weights(media, text, temp.detach(), ids)
        self.kept |= dict(zip(names, weights, strict=True))
        drawn = self.draws.pop(name)
        self.kept |= {f'negative_vision{suffix}': drawn.media, f'negative_text{suffix}': drawn.text}
        return drawn


class GivenTokens:
    """Hands the draws of a case to a masker, one objective after the other."""

    def __init__(self, masker: Callable, draws: list[MaskingDraws]) -> None:
        self.masker, self.draws = masker, draws

    def __call__(self, input_ids: Tensor) -> tuple[Tensor, Tensor]:
        return self.masker(input_ids, self.draws.pop(0))


def stage2_name(published: str) -> str:
    """Our name of a published stage-2 parameter."""
    inner = published.removeprefix(VISION)
    if inner != published and inner.startswith(DECODER_PARTS):
        return f'neck.{inner}'
    return published


def teacher_targets(facts: dict[str, Any], env: RunEnv) -> dict[str, Any] | None:
    teacher = facts.get('teacher')
    if teacher is None:
        return None
    teacher.ignore('return_attn')  # the kind of mask decides who asks for it
    norms = {teacher['clip_norm_type'], facts['vision']['clip_norm_type']}
    if len(norms) > 1:
        raise CaseError('student and teacher are normalised alike here, the case has them differ')
    config = dict(
        encoder=teacher_config(teacher, env),
        layers=layer_choice(teacher, ''),
        init_cfg=None,
        dtype=None,
    )
    return dict(type='InlineTeachers', clip=config)


def stage2_config(facts: dict[str, Any], env: RunEnv) -> dict[str, Any]:
    """Config of our stage-2 model for the facts of a case."""
    vision = facts['vision'] | dict(mlp_act=facts.get('mlp_act', 'gelu'))
    encoder, neck = student_configs(vision, env)
    middle, final = facts.get('clip_loss_ratio', (1.0, 1.0))
    final = final if facts.get('distill_final_features', True) else 0.0
    weights = {name: value for name, value in facts['loss_weight'].items() if name != 'mvm'}
    if not facts.get('is_pretrain', True):  # such builds have no head for it
        weights.pop('mlm', None)
    facts['loss_weight'].require(mvm=0.0)
    targets = teacher_targets(facts, env)
    if targets is None:
        weights.pop('uta', None)
    return dict(
        type='InternVideo2Stage2',
        vision_encoder=encoder,
        text_encoder=bert_config(facts['bert'], env, facts.get('is_pretrain', True)),
        embed_dim=facts.get('embed_dim') or facts['contra_dim'],
        neck=neck,
        clip_layers=layer_choice(vision),
        targets=targets,
        alignment=dict(clip_middle=middle, clip_final=final),
        uta_image_only=facts.get('uta_image_only', False),
        loss_weights=weights,
        loss_captions=facts.get('loss_caption'),
        hard_negatives=facts.get('vtm_hard_neg', True),
        masking=dict(probability=facts.get('mlm_masking_prob', 0.5)),
        temp=facts['temp'],
        num_test_segments=facts.get('num_test_segments', 1),
        **audio_config(facts),
        **freeze_config(facts.get('freeze') or {}),
    )


def audio_config(facts: dict[str, Any]) -> dict[str, Any]:
    """Fields of an audio-visual model, which has an audio encoder for audio objectives."""
    config = dict(av_concat_dim=facts.get('av_concat_dim'))
    if any(facts['loss_weight'].get(name) for name in AUDIO_OBJECTIVES):
        fields = {name: facts['audio'][name] for name in BEATS_FIELDS if name in facts['audio']}
        config['audio_encoder'] = dict(type='BEATs', **fields)
    return config


def freeze_config(freeze: dict[str, Any]) -> dict[str, Any]:
    parts = [part for part in PARTS if freeze.get(f'freeze_{part}')]
    return dict(freeze=parts, unfreeze_keys=freeze.get('unfreeze_keys') or ())


def inject_draws(model: nn.Module, case: Case, env: RunEnv) -> None:
    """Replace everything random by what the case gives."""
    facts, roles = case.facts, case.roles
    attentive = facts.get('mask_type') == 'attention'
    if facts['masked']:
        masker = CaseMask(env.tensor(case.role('mask')).bool(), attentive)
        model.maskers = dict(image=masker, video=masker)
    prefixes = [
        prefix
        for prefix in ('', *(f'{name}_' for name in MATCHING))
        if {f'{prefix}negative_vision', f'{prefix}noise_vision'} & roles.keys()
    ]
    model.negative_sampler = GivenNegatives(
        {prefix.rstrip('_'): given_negatives(case, env, prefix) for prefix in prefixes}
    )
    draws = [
        masking_draws(case, env, f'{name}_') for name in LANGUAGE if f'{name}_draw_mask' in roles
    ]
    model.token_masker = GivenTokens(model.token_masker, draws)


def load_stage2(case: Case, env: RunEnv) -> nn.Module:
    """The model of a case, its teacher included, filled with the case's checkpoint."""
    model, prefix = MODELS.build(stage2_config(case.facts, env)), TEACHER
    if model.targets is None:  # a file may hold a teacher that nothing is aligned with
        state = [entry for entry in case.state if not entry[0].startswith(prefix)]
        case.used_state.update(name for name, *_ in case.state if name.startswith(prefix))
        return load_filled(model, dataclasses.replace(case, state=state), env, stage2_name)
    encoder = model.targets.clip.encoder
    own = published_state(model, case, stage2_name)
    filled = case.fill(own | {prefix + k: v for k, v in encoder.state_dict().items()})
    state = {name: torch.as_tensor(value) for name, value in filled.items()}
    teacher = {k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)}
    encoder.load_state_dict(teacher)
    encoder.to(env.device, env.torch_dtype)
    model.load_state_dict({stage2_name(k): v for k, v in state.items() if not k.startswith(prefix)})
    return model.to(env.device, env.torch_dtype).eval()


def clips(case: Case, env: RunEnv) -> Tensor | None:
    """(B, C, T, H, W) clips of a case, whose frames come before channels."""
    name = 'image' if 'image' in case.roles else 'video'
    video = role_or_none(case, env, name)
    return None if video is None else video.transpose(1, 2)


def texts(case: Case, env: RunEnv) -> dict[str, Any]:
    fields = ('input_ids', 'attention_mask')
    kinds = case.facts.get('captions')
    if kinds is None:
        return {name: env.tensor(case.role(name)) for name in fields}
    tokens = {
        kind: {name: env.tensor(case.role(f'{kind}.{name}')) for name in fields} for kind in kinds
    }
    return tokens if len(kinds) > 1 else tokens[kinds[0]]


def samples(case: Case) -> list[VideoDataSample] | None:
    if 'idx' not in case.roles:
        return None
    return [VideoDataSample(metainfo=dict(pair_id=int(i))) for i in case.role('idx')]


def evaluation_clips(case: Case, env: RunEnv) -> Tensor | None:
    """The clips of the test encoding: parts of the training clips, one after the other."""
    recipe = case.facts.get('test_video')
    if recipe is None:
        wanted = {'test_tokens', 'test_vision_proj'} & case.outputs.keys()
        return clips(case, env) if wanted or 'audio' not in case.facts else None
    parts = []
    for part in recipe['concat_time']:
        video = env.tensor(case.role(part['input'])).transpose(1, 2)
        parts.append(video.flip(0) if part['flip_batch'] else video)
    return torch.cat(parts, dim=2)


@torch.no_grad()
def evaluation_outputs(model: nn.Module, case: Case, env: RunEnv) -> dict[str, Tensor]:
    """Unmasked tokens and projected features, as far as the case stores them."""
    outputs, video = {}, evaluation_clips(case, env)
    if video is not None:
        vision = model.encode_video(video)
        outputs |= dict(test_tokens=vision.tokens, test_vision_proj=vision.feature)
    if 'audio' in case.roles:
        audio = model.encode_audio(env.tensor(case.role('audio')))
        outputs |= dict(test_audio_tokens=audio.tokens, test_audio_proj=audio.feature)
    if {'test_text_tokens', 'test_text_proj'} & case.outputs.keys():
        text = model.encode_text(**texts(case, env))
        outputs |= dict(test_text_tokens=text.tokens, test_text_proj=text.feature)
    return outputs


@parity_runner('internvideo2_multi/stage2_visual', 'internvideo2_multi/stage2_av')
def run_stage2(case: Case, env: RunEnv) -> Result:
    model = load_stage2(case, env)
    inject_draws(model, case, env)
    inputs = dict(video=clips(case, env), audio=role_or_none(case, env, 'audio'))
    losses = model(inputs | dict(text=texts(case, env)), samples(case), mode='loss')
    total = sum(losses.values())
    if case.facts['media'] == 'audio' and 'loss_amlm' in losses:
        losses['loss_mlm'] = losses['loss_amlm']  # the published name in such batches
    zero = torch.zeros(())
    # An objective that is off is stored as zero.
    known = {f'loss_{name}' for name in (*PUBLISHED_LOSSES, *case.facts['loss_weight'])}
    outputs: dict[str, Any] = {name: losses.get(name, zero) for name in known}
    outputs |= model.negative_sampler.kept | dict(temp_after=model.temp.detach().clone())
    if 'attention' in case.outputs:
        outputs['attention'] = model.maskers['image'].attn.reshape(
            case.outputs['attention']['shape']
        )
    check_media(case)
    check_ties(model, case, stage2_name)
    outputs |= loss_outputs(model, case, env, stage2_name, outputs, own=lambda: total)
    for name in outputs.keys() & case.outputs.keys():
        if name.startswith('loss'):  # published ones may have one axis of one entry
            outputs[name] = outputs[name].reshape(case.outputs[name]['shape'])
    return Result(outputs | evaluation_outputs(model, case, env))


def clip_config(facts: dict[str, Any], env: RunEnv) -> dict[str, Any]:
    """Config of our CLIP for the facts of a case: LLaMA or MobileCLIP text tower."""
    vision = facts['vision'] | dict(mlp_act=facts.get('mlp_act', 'gelu'))
    encoder = encoder_config(vision, env, image_pos_embed='shared', layerscale_force_fp32=False)
    width = facts.get('align_dim') or facts['vision']['clip_embed_dim']
    if 'llama' in facts:
        text = llama_config(facts['llama'], lora_fields(facts)) | dict(out_dim=width)
    else:
        text = mobileclip_config(facts['text']) | dict(projection_dim=width)
    return dict(
        type='InternVideo2CLIP',
        vision_encoder=encoder,
        text_encoder=text,
        align_dim=facts.get('align_dim'),
        temp=facts['temp'],
        temp_min=facts['temp_min'],
        **facts['freeze'],
    )


@parity_runner('internvideo2_multi/clip_llama', 'internvideo2_multi/clip_small')
def run_clip(case: Case, env: RunEnv) -> Result:
    model = MODELS.build(clip_config(case.facts, env))
    own = set(model.state_dict())

    def to_ours(name: str) -> str:
        return base_layer_name(name, own)

    model = load_filled(model, case, env, to_ours)
    inputs = dict(video=clips(case, env), text=dict(input_ids=env.tensor(case.role('tokens'))))
    check_media(case)
    check_open(model, case.facts)
    total = sum(model(inputs, samples(case), mode='loss').values())
    features = model(inputs)
    outputs = dict(vision_feature=features['vision'], text_feature=features['text'])
    outputs['temp_after'] = model.temp.detach().clone()
    return Result(outputs | loss_outputs(model, case, env, to_ours, outputs, own=lambda: total))


def check_media(case: Case) -> None:
    """Check that the inputs are of the kind that the case names."""
    name = 'image' if 'image' in case.roles else 'video'
    if name not in case.roles:
        case.facts.require(media='audio')
        return
    kind = 'image' if case.role(name).shape[1] == 1 else 'video'
    case.facts.require(media=(kind, f'audio_{kind}', 'audio'))


def check_open(model: nn.Module, facts: Facts) -> None:
    """Check which parts of the vision side are left to learn, where the facts list them."""
    prefixes = facts.get('trainable_vision_prefixes')
    if prefixes is None:
        return
    for name, parameter in model.named_parameters():
        if name.startswith('vision_') and parameter.requires_grad != name.startswith(
            tuple(prefixes)
        ):
            state = 'learns' if parameter.requires_grad else 'is frozen'
            raise CaseError(f'{name} {state}; the case opens {", ".join(prefixes)}')


@parity_runner('internvideo2_multi/decay_groups')
def run_decay_groups(case: Case, env: RunEnv) -> Result:
    facts, build = case.facts, clip_config
    if facts['model_class'].startswith('stage2'):
        build = stage2_config
    freeze = facts.get('freeze')
    if freeze and facts['model'].get('freeze', freeze) != freeze:
        raise CaseError('the case freezes one thing, its model another')
    # The groups are sorted by name and shape: the case whose model it is, and the amount of the
    # decay, make no difference.
    facts.ignore('model_facts_of', 'weight_decay')
    model = MODELS.build(build(facts['model'] | ({'freeze': freeze} if freeze else {}), env))
    check_open(model, facts['model'])
    spared, parameters = no_decay_names(model), dict(model.named_parameters())
    own, groups = set(parameters), dict(no_decay=[], decay=[], frozen=[])
    for published, shape in facts['parameters']:
        if published.startswith(TEACHER):  # no part of our model
            groups['frozen'].append(published)
            continue
        name = base_layer_name(stage2_name(published) if build is stage2_config else published, own)
        parameter = parameters.pop(name)
        if list(parameter.shape) != shape:
            raise AssertionError(f'{published} is {tuple(parameter.shape)}, case says {shape}')
        group = 'no_decay' if takes_no_decay(name, parameter.ndim, spared) else 'decay'
        groups[group if parameter.requires_grad else 'frozen'].append(published)
    wrong = [kind for kind, names in groups.items() if sorted(names) != sorted(facts[kind])]
    if wrong or parameters:
        raise AssertionError(f'groups {wrong} differ; not in the case: {sorted(parameters)[:5]}')
    return Result(dict(counts=torch.tensor([len(names) for names in groups.values()])))
