"""Runs of both training stages with given masks, targets, timesteps and noise."""

from typing import Any

import torch
from torch import Tensor, nn

from internvideo.checkpoint.adapters.internvideo_next import ENCODER_PARTS, UNUSED
from internvideo.engine.optimizers.parameter_groups import layer_decay_groups
from internvideo.models.losses.alignment import alignment_distance
from internvideo.models.masks.token_masks import visible_indices
from internvideo.models.tasks.pretraining.frame_targets import FrameTargets
from internvideo.models.tasks.pretraining.internvideo_next import (
    InternVideoNextStage1,
    InternVideoNextStage2,
)
from internvideo.models.tasks.pretraining.moving_average import MovingTarget, update_average
from internvideo.models.tasks.pretraining.teachers import aligned_layers
from internvideo.ops.features import normalise
from internvideo.verification.cases import Case, CaseError, RunEnv, fill_entry
from internvideo.verification.facts import Facts
from internvideo.verification.runner_registry import Result, parity_runner

from .common import encoder_config, fill_module, given, gradients
from .diffusion import given_steps
from .predictor import predictor_config


def our_name(published: str) -> str:
    """Our name of an entry of the student."""
    return f'backbone.{published}' if published.startswith(ENCODER_PARTS) else published


def given_mask(case: Case, role: str, per_frame: int | None, env: RunEnv) -> Tensor:
    """A mask (B, N), checked for what the facts say of its frames."""
    mask, video = given(case, role, env).bool(), given(case, 'video', env)
    if per_frame is not None:
        frames = mask.reshape(len(video) * video.shape[2], -1)
        if (frames.sum(dim=1) != per_frame).any():
            raise CaseError(f'{role} does not hide {per_frame} patches of each frame')
    return mask.reshape(len(video), -1)


def stage1_model(facts: Facts, env: RunEnv) -> InternVideoNextStage1:
    """Our model for the facts of a first stage."""
    layers = dict(count=facts['clip_return_layer'], interval=facts['clip_student_return_interval'])
    middle, final, diffusion = facts.get('loss_ratio') or (1, 1, 1)
    return InternVideoNextStage1(
        backbone=encoder_config(facts, env),
        predictor=predictor_config(facts['predictor']),
        decoder=dict(
            width=facts['diffloss_w'],
            depth=facts['diffloss_d'],
            sampling=facts['num_sampling_steps'],
            repeats=facts['diffusion_batch_mul'],
        ),
        clip_layers=layers,
        align_dim=facts['clip_teacher_embed_dim'],
        align_final_dim=facts['clip_teacher_final_dim'],
        align_norm=facts['clip_norm_type'],
        loss=dict(clip_middle=middle, clip_final=final, diffusion=diffusion),
        published_quirks=True,
    )


@parity_runner('internvideo_next/stage1')
def run_stage1(case: Case, env: RunEnv) -> Result:
    """Every intermediate, each term, gradients, and the encoder without a mask."""
    facts = case.facts
    facts.require(model='InternVideo-Next stage 1')
    model = stage1_model(facts, env)
    facts.require(return_index=aligned_layers(model.backbone.depth, model.clip_layers))
    fill_module(model, case, env, our_name, UNUSED)
    video = given(case, 'video', env)
    hidden = given_mask(case, 'mask', facts['masked_per_frame'], env)
    removed = given_mask(case, 'mask_target', facts['mask_target_per_frame'], env)
    removed = removed if removed.any() else None
    count = int((~hidden[0]).sum())
    visible = visible_indices(hidden, count)
    steps, noise = given_steps(case, env), given(case, 'noise', env)
    found = model.student(video, hidden, count, removed)
    targets = given_targets(case, visible, hidden.shape[1], env)
    wanted = targets.pick(visible, model.align_norm)
    repeats = model.diffloss.repeats
    rows = [x.repeat(repeats, 1) for x in (found.conditions, found.targets)]
    error, bound, output = model.diffloss.terms(rows[1], rows[0], steps, noise)
    terms = model.terms(video, hidden, count, targets, removed, steps, noise)
    loss = sum(terms.values())
    prediction = found.prediction
    present = slice(None)
    if prediction.present is not None:
        ahead = prediction.present.new_ones(len(video), model.num_cls_tokens)
        present = torch.cat([ahead, prediction.present], dim=1)
    outputs = dict(
        encoder=found.encoded.tokens,
        predictor_in=_rows(prediction.sequence, present),
        predictor_layer0=_rows(prediction.layers[0], present),
        predictor_out=_rows(prediction.layers[-1], present),
        diff_z=rows[0],
        diff_target=rows[1],
        denoiser_out=output,
        pooled=found.encoded.pooled,
        middle=torch.stack(found.aligned.clip_middle),
        final=found.aligned.clip_final,
        loss_middle=alignment_distance(found.aligned.clip_middle, wanted.clip_middle),
        loss_final=alignment_distance([found.aligned.clip_final], [wanted.clip_final]),
        loss_diffusion=(error + bound).mean(),
        loss=loss,
        **{f'x_clip_{k}': layer for k, layer in enumerate(found.encoded.layers)},
    )
    outputs |= gradients(model, loss, facts['grad_of'], our_name)
    with torch.no_grad():
        whole = model(video)
    return Result(outputs | dict(embed=whole.tokens, embed_pooled=whole.pooled))


def _rows(x: Tensor, present: Tensor | slice) -> Tensor:
    """(B, M, D) -> (rows, D) of the sequences, without what fills them up."""
    return x.flatten(0, 1) if isinstance(present, slice) else x[present]


def given_targets(case: Case, visible: Tensor, patches: int, env: RunEnv) -> FrameTargets:
    """Targets whose tokens the case lists for the visible patches alone."""
    middle = given(case, 'teacher_middle', env)
    places = visible[:, :, None].expand(-1, -1, middle.shape[-1])
    whole = [
        layer.new_zeros(len(visible), patches, layer.shape[-1]).scatter(1, places, layer)
        for layer in middle
    ]
    final = given(case, 'teacher_final', env)
    frames = len(final)
    layers = [layer.reshape(frames, -1, layer.shape[-1]) for layer in whole]
    return FrameTargets(len(visible), layers, final)


@parity_runner('internvideo_next/param_groups')
def run_groups(case: Case, env: RunEnv) -> Result:
    """Parameters of the first stage that are decayed, and those that are not."""
    facts = case.facts
    facts.require(stage='s1')
    model = stage1_model(facts, env)
    shapes = {_published(name): p.shape for name, p in model.named_parameters()}
    spared = {_published(name) for name in model.no_weight_decay()}
    sizes = facts['predictor']
    width = sizes['hidden_size']
    # The published model holds these without use.
    shapes |= {
        'bert_decoder.embeddings.tok_embeddings.weight': (sizes['vocab_size'], width),
        'bert_decoder.embeddings.norm.weight': (width,),
        'bert_decoder.final_norm.weight': (width,),
    }
    listed = set(facts['skip_list'])
    if not spared <= listed or listed & set(shapes) != spared:
        raise CaseError(f'names that are not decayed: {sorted(spared)}, not {sorted(listed)}')
    decay = facts['weight_decay']
    named = [(name, len(shape)) for name, shape in shapes.items()]
    groups = layer_decay_groups(named, lambda name: 0, 1, 1.0, decay, spared)
    by_kind = {('decay' if g.weight_decay else 'no_decay'): sorted(g.names) for g in groups}
    kinds = ('decay', 'no_decay')
    totals = [sum(torch.Size(shapes[n]).numel() for n in by_kind[kind]) for kind in kinds]
    counts = [len(by_kind[kind]) for kind in kinds]
    outputs = dict(counts=torch.tensor(counts), sizes=torch.tensor(totals))
    facts.require(groups=by_kind)
    return Result(outputs)


def _published(ours: str) -> str:
    return ours.removeprefix('backbone.')


@parity_runner('internvideo_next/stage2')
def run_stage2(case: Case, env: RunEnv) -> Result:
    """Predictions for both masks, targets, losses, gradients, and the target's update."""
    facts = case.facts
    facts.require(model='InternVideo-Next stage 2', clip_norm_type='l2')
    masker = dict(type='RandomMask', ratio=0.5)  # the masks are given
    model = InternVideoNextStage2(
        backbone=encoder_config(facts, env),
        predictor=predictor_config(facts['predictor']),
        maskers=[masker, masker],
        momentum=facts['momentum'],
        published_quirks=True,
    )
    fill_stage2(model, case, env)
    video = given(case, 'video', env)
    masks = [given_mask(case, f'mask_v{i}', None, env) for i in (1, 2)]
    counts = [int((~mask[0]).sum()) for mask in masks]
    target = model.teacher(video)
    tokens = target.tokens[:, model.num_cls_tokens :]
    outputs: dict[str, Any] = dict(teacher_tokens=tokens, teacher_pooled=target.pooled)
    predictions = []
    for index, (mask, count) in enumerate(zip(masks, counts, strict=True), start=1):
        predictions.append(model.predicted(video, mask, count))
        encoded = model.encode(video, mask, count)
        visible = encoded.tokens[:, model.num_cls_tokens :]
        outputs[f'pred_v{index}'] = normalise(predictions[-1])
        outputs[f'x_align_v{index}'] = normalise(model.selfdist_proj_clip(encoded.pooled))
        outputs[f'visible_v{index}'] = normalise(model.selfdist_normproj_decoder(visible))
        outputs[f'encoder_v{index}'] = encoded.tokens
        made = model.predict(encoded.tokens, visible_indices(mask, count), encoded.grid)
        outputs[f'predictor_out_v{index}'] = made.layers[-1].flatten(0, 1)
    losses = model.criterion(predictions, tokens, masks)
    loss = sum(losses.values())
    outputs |= dict(loss=loss, loss_v1=losses['loss_mask0'], loss_v2=losses['loss_mask1'])
    outputs |= gradients(model, loss, facts['grad_of'], our_name)
    trained = [name for name, p in model.named_parameters() if p.grad is not None]
    untrained = {name for name, *_ in case.state if our_name(name) not in trained}
    model._has_target = True
    model.follow()
    averaged = dict(model.teacher.network.named_parameters())
    outputs |= {f'ema:{name}': averaged[name] for name in facts['ema_of']}
    facts.require(parameters_without_gradient=sorted(untrained))
    return Result(outputs)


def fill_stage2(model: InternVideoNextStage2, case: Case, env: RunEnv) -> None:
    """Fill student and target, whose entries are drawn from names with a prefix."""
    prefix = case.facts['teacher_fill_prefix']
    del model.progress
    network = model.teacher.network
    holder = nn.Module()
    for name, child in model.named_children():
        if name != 'teacher':
            holder.add_module(name, child)
    for name, parameter in model.named_parameters(recurse=False):
        holder.register_parameter(name, parameter)
    fill_module(holder, case, env, our_name, UNUSED)
    own = dict(network.state_dict())
    state = {}
    for name, shape, _, rule in case.state:
        if name in own:
            state[name] = own[name]
            if rule != 'keep':
                state[name] = torch.as_tensor(fill_entry(f'{prefix}{name}', shape, rule))
    network.load_state_dict(state)
    model.to(env.device, env.torch_dtype).eval()


@parity_runner('internvideo_next/ema')
def run_average(case: Case, env: RunEnv) -> Result:
    """The target after some updates by one student."""
    outputs = {}
    for facts in case.facts['cases']:
        values = {}
        for role in ('teacher', 'student'):
            name = facts['inputs'][role]
            facts_name = case.facts['input_names'][f'{facts["name"]}.{role}']
            if name != facts_name:
                raise CaseError(f'{name} is called {facts_name} elsewhere')
            holder = nn.Module()
            holder.value = nn.Parameter(env.tensor(case.inputs[name]))
            values[role] = holder
        facts.require(shape=list(values['teacher'].value.shape))
        target = MovingTarget(values['teacher'], facts['momentum'])
        for _ in range(facts['steps']):
            update_average(target.network, values['student'], target.momentum)
        outputs[facts['name']] = target.network.value
    return Result(outputs)
