"""Runners of students, teachers and their objectives."""

from typing import Any

import torch
from torch import Tensor, nn

from internvideo.models.losses.alignment import alignment_distance
from internvideo.models.masks.token_masks import (
    Masker,
    hide_all_but,
    visible_count,
    visible_indices,
)
from internvideo.models.tasks.pretraining.masked_alignment import MaskedAlignment
from internvideo.models.tasks.pretraining.targets import TargetFacts
from internvideo.models.tasks.pretraining.teachers import aligned_layers
from internvideo.ops.features import normalise
from internvideo.registry import MODELS
from internvideo.structures.aligned_features import AlignedFeatures
from internvideo.verification.cases import Case, RunEnv
from internvideo.verification.facts import Facts
from internvideo.verification.runner_registry import Result, parity_runner

from .classifier import (
    ARCHS,
    ENCODER_FIELDS,
    Arch,
    case_input,
    classifier_facts,
    encoder_config,
    gradients,
    published_entries,
    published_no_decay,
    run_model,
)

STUDENTS = ('PretrainInternVideo2', 'DistInternVideo2')
DECODERS = {'Linear_Decoder': 'LinearDecoder', 'MLP_Decoder': 'MLPDecoder'}
NECK_PARTS = ('clip_decoder', 'final_clip_decoder', 'mae_decoder', 'clip_pos', 'mae_pos')
VIDEO_FIELDS = ('num_frames', 'tubelet_size', 'sep_pos_embed')  # an image tower has none
MAE_FIELDS = (
    'img_size',
    'patch_size',
    'embed_dim',
    'depth',
    'num_heads',
    'mlp_ratio',
    'tubelet_size',
    'qkv_bias',
    'init_values',
    'drop_path_rate',
)


def layer_choice(facts: dict[str, Any], owner: str, branch: str = 'clip') -> Any:
    """The aligned layers that the facts name: an explicit list, or count and interval."""
    index = facts.get(f'{branch}_{owner}return_index')
    interval = facts.get(f'{branch}_{owner}return_interval', 1)
    count = facts.get(f'{branch}_return_layer')
    return index or dict(count=count, interval=interval)


class GivenTargets:
    """Stands in for the teachers of a student that is run alone."""

    has_attention, brings_mask, grids = True, False, {}

    def __init__(self, facts: dict[str, Any]) -> None:
        has_mae = 'mae_return_layer' in facts
        self.facts = TargetFacts(
            facts['clip_teacher_embed_dim'],
            facts['clip_return_layer'],
            facts['clip_teacher_final_dim'],
            facts['mae_teacher_embed_dim'] if has_mae else 0,
            facts['mae_return_layer'] if has_mae else 0,
        )


def student_config(facts: dict[str, Any], env: RunEnv) -> dict[str, Any]:
    """Config of ``MaskedAlignment`` for the facts of a student, without its targets."""
    neck = dict(
        type='AlignmentNeck',
        clip_dim=facts['clip_teacher_embed_dim'],
        clip_final_dim=facts['clip_teacher_final_dim'],
        clip_norm=facts.get('clip_norm_type', 'l2'),
        clip_decoder=DECODERS[facts.get('clip_student_decoder', 'Linear_Decoder')],
    )
    mae = None
    if 'mae_return_layer' in facts:
        neck.update(
            mae_dim=facts['mae_teacher_embed_dim'], mae_norm=facts.get('mae_norm_type', 'l2')
        )
        mae = layer_choice(facts, 'student_', 'mae')
    return dict(
        backbone=encoder_config(facts, env),
        neck=neck,
        masker=None,
        clip_layers=layer_choice(facts, 'student_'),
        mae_layers=mae,
    )


def build_student(facts: dict[str, Any], env: RunEnv) -> nn.Module:
    model = MaskedAlignment(targets=GivenTargets(facts), **student_config(facts, env))
    del model.teacher_digest  # no part of the published layout
    return model


def student_name(published: str) -> str:
    part = 'neck' if published.startswith(NECK_PARTS) else 'backbone'
    return f'{part}.{published}'


def student_outputs(model: nn.Module, case: Case, env: RunEnv) -> dict[str, Any]:
    mask = nn.functional.pad(case_input(case, 'mask', env).bool(), (1, 0), value=False)
    visible = visible_indices(mask, int((~mask[0]).sum()))
    aligned = model.student(case_input(case, 'video', env), mask, visible)
    outputs = dict(clip_middle=torch.stack(aligned.clip_middle), clip_final=aligned.clip_final)
    return outputs | (dict(mae=torch.stack(aligned.mae)) if aligned.mae else {})


def teacher_config(facts: dict[str, Any], env: RunEnv) -> dict[str, Any]:
    """Config of a teacher's encoder."""
    if facts['arch'] == 'InternVideo2_teacher':
        return encoder_config(facts, env)
    if facts['arch'] == 'InternVL_CLIP':
        fields = (*ENCODER_FIELDS, 'fused', 'layerscale_no_force_fp32')
        known = {name: facts[name] for name in fields if name in facts and name not in VIDEO_FIELDS}
        return encoder_config(known, env) | dict(type='InternVLVision')
    return dict(
        type='VideoMAE',
        arch=None,
        attn_backend=env.attn_backend,
        num_frames=facts['all_frames'],
        attention_layout=facts.get('attention_layout', 'corrected'),
        pos_embed='stored',
        **{name: facts[name] for name in MAE_FIELDS if name in facts},
    )


def build_teacher(facts: dict[str, Any], env: RunEnv) -> nn.Module:
    return MODELS.build(teacher_config(facts, env))


def teacher_outputs(model: nn.Module, case: Case, env: RunEnv) -> dict[str, Any]:
    facts = case.facts['model']
    layers = aligned_layers(model.depth, layer_choice(facts, ''))
    wants_attn = facts.get('return_attn', False)
    out = model(case_input(case, 'video', env), return_layers=layers, return_attn=wants_attn)
    norm = facts.get('clip_norm_type', 'l2')
    middle = [normalise(layer, norm) for layer in out.layers]
    final = normalise(out.pooled, norm)
    outputs = dict(middle=torch.stack(middle), final=final)
    return outputs | (dict(attn=attention_rows(model, out.attn)) if wants_attn else {})


def attention_rows(model: nn.Module, attn: Tensor) -> Tensor:
    """Attention as published: one row per frame for the image tower, per clip otherwise."""
    if type(model).__name__ == 'InternVLVision':
        return attn.reshape(-1, model.grid[1] * model.grid[2])
    return attn


def mae_outputs(model: nn.Module, case: Case, env: RunEnv) -> dict[str, Any]:
    facts = case.facts['model']
    layers = aligned_layers(model.depth, layer_choice(facts, '', 'mae'))
    mask = case_input(case, 'mask', env).bool() if 'mask' in case.roles else None
    out = model(case_input(case, 'video', env), mask, return_layers=layers)
    norm = facts.get('mae_norm_type', 'l2')
    return dict(features=torch.stack([normalise(x, norm) for x in out.layers]))


def same_name(published: str) -> str:
    return published


def student_facts(model: nn.Module) -> dict[str, Any]:
    """Count every parameter as published, also those that no term of the loss reaches."""
    names = sorted(published_no_decay(model.backbone) | model.neck.no_weight_decay())
    counted = sum(parameter.numel() for parameter in model.parameters())
    return dict(no_weight_decay=names, trainable_params=counted)


def mae_facts(model: nn.Module) -> dict[str, Any]:
    """Count a position table that is a parameter as published, although it never learns.

    The published list of names that are not decayed has the class token that there is not.
    """
    facts, table = classifier_facts(model), model.pos_embed
    counted = table.numel() if isinstance(table, nn.Parameter) else 0
    absent = {'cls_token', 'pos_embed'} - dict(model.named_parameters()).keys()
    names = sorted(model.no_weight_decay() | absent)
    return dict(no_weight_decay=names, trainable_params=facts['trainable_params'] + counted)


STUDENT = Arch(build_student, student_name, student_outputs, student_facts)
TEACHER = Arch(build_teacher, same_name, teacher_outputs)
ARCHS.update(dict.fromkeys(STUDENTS, STUDENT))
ARCHS.update(InternVideo2_teacher=TEACHER, InternVL_CLIP=TEACHER)
ARCHS.update(VideoMAE_teacher=Arch(build_teacher, same_name, mae_outputs, mae_facts))
for name in ('pretrain', 'distill', 'teacher', 'internvl', 'videomae'):
    parity_runner(f'internvideo2_single/{name}')(run_model)


class GivenMask(Masker):
    """The mask of a case, in place of a drawn one."""

    def __init__(self, mask: Tensor, needs_attention: bool) -> None:
        self.mask, self.needs_attention = mask, needs_attention

    def __call__(self, attn: Tensor | None, *_: Any) -> Tensor:
        return self.mask

    def num_visible(self, grid: tuple[int, int, int]) -> int:
        return int((~self.mask[0]).sum())


def case_masker(case: Case, batch: int, ratio: float, attentive: bool, env: RunEnv) -> GivenMask:
    """The masker of a case: its ``mask``, or what its ``order`` of drawn tokens leaves visible."""
    case.facts.require(order_rows=order_rows(case, batch))
    if 'order' not in case.roles:
        return GivenMask(case_input(case, 'mask', env).bool(), attentive)
    order = case_input(case, 'order', env)
    size = order.shape[1]
    mask = hide_all_but(order[:, : visible_count(size, ratio)], size)
    return GivenMask(mask.view(batch, -1), attentive)


def order_rows(case: Case, batch: int) -> str | None:
    """Meaning of a row of the drawn order."""
    if 'order' not in case.roles:
        return None
    return 'clip' if len(case.role('order')) == batch else 'frame'


def objective_name(published: str) -> str:
    return student_name(published.removeprefix('student.'))


def build_objective(case: Case, env: RunEnv) -> MaskedAlignment:
    """Student and teachers of a case, in eval mode, before any weights."""
    models, training = case.facts['models'], case.facts['training']
    check_objective(models, training)
    stride = training.get('td_ratio') or frame_ratio(models)
    targets = dict(type='InlineTeachers', clip=frozen(models['clip_teacher'], env, 'clip', stride))
    if 'mae_teacher' in models:
        targets['mae'] = frozen(models['mae_teacher'], env, 'mae', 1)
    middle, final = training['clip_loss_ratio']
    final = final if training.get('distill_final_features', True) else 0
    weights = dict(clip_middle=middle, clip_final=final, mae=training.get('mae_loss_ratio', 1))
    config = student_config(models['student'], env) | dict(targets=targets, frame_stride=stride)
    model = MaskedAlignment(loss=dict(type='AlignmentLoss', **weights), **config)
    del model.teacher_digest
    return model.eval()


def check_objective(models: Facts, training: Facts) -> None:
    """Check what the facts of the models and of the training say twice."""
    models['student'].require(arch=STUDENTS)
    for branch in ('clip', 'mae'):
        teacher = models.get(f'{branch}_teacher')
        if teacher is None:
            continue
        training.require(**{f'{branch}_input_resolution': teacher['img_size']})
        norm = f'{branch}_norm_type'  # the targets are normalised once, as the student's side is
        teacher.require(**{norm: models['student'].get(norm, 'l2')})
        teacher.ignore('return_attn')  # the kind of mask decides who asks for it


def frame_ratio(models: dict[str, Any]) -> int:
    """Frames of the clip per frame that the student sees."""
    mae = models.get('mae_teacher', models['student'])
    return mae.get('tubelet_size', 1) // models['student'].get('tubelet_size', 1)


def frozen(facts: dict[str, Any], env: RunEnv, branch: str, stride: int) -> dict[str, Any]:
    """Config of a frozen teacher that computes in the type of its weights."""
    return dict(
        encoder=teacher_config(facts, env),
        layers=layer_choice(facts, '', branch),
        init_cfg=None,
        frame_stride=stride,
        dtype=None,
    )


def load_objective(model: MaskedAlignment, case: Case, env: RunEnv) -> None:
    """Fill student and teachers from the checkpoint of the case."""
    names = [name.partition('.') for name, *_ in case.state]
    student = [name for prefix, _, name in names if prefix == 'student']
    parts = dict(clip_teacher=model.targets.clip, mae_teacher=model.targets.mae)
    encoders = {prefix: teacher.encoder for prefix, teacher in parts.items() if teacher}
    own = {
        f'student.{name}': value
        for name, value in published_entries(model, STUDENT, student).items()
    }
    for prefix, encoder in encoders.items():
        own |= {f'{prefix}.{name}': value for name, value in encoder.state_dict().items()}
    filled = {name: torch.as_tensor(value) for name, value in case.fill(own).items()}
    model.load_state_dict(
        {objective_name(k): v for k, v in filled.items() if k.startswith('student.')}
    )
    for prefix, encoder in encoders.items():
        start = f'{prefix}.'
        encoder.load_state_dict(
            {k.removeprefix(start): v for k, v in filled.items() if k.startswith(start)}
        )
        encoder.to(env.device, env.torch_dtype)
    model.to(env.device, env.torch_dtype)


def unweighted_terms(student: AlignedFeatures, target: AlignedFeatures) -> dict[str, Tensor]:
    """Distance of each branch of the student, whatever weight it has in the loss."""
    targets = target.branches()
    return {
        name: alignment_distance(layers, targets[name])
        for name, layers in student.branches().items()
        if layers
    }


@parity_runner('internvideo2_single/pretrain_loss', 'internvideo2_single/distill_loss')
def run_objective(case: Case, env: RunEnv) -> Result:
    training, model = case.facts['training'], build_objective(case, env)
    load_objective(model, case, env)
    video = case_input(case, 'video', env)
    attentive = training.get('mask_type', 'attention') == 'attention'
    model.masker = case_masker(case, len(video), training['mask_ratio'], attentive, env)
    student, target = model.align(video)
    terms = unweighted_terms(student, target)
    loss = sum(model.criterion(student, target).values())
    targets = model.targets(video, attn=attentive)
    clip_norm, mae_norm, zero = model.neck.clip_norm, model.neck.mae_norm, torch.zeros(())
    outputs = dict(
        mask=model.draw_mask(targets, video),
        target_clip_middle=torch.stack([normalise(x, clip_norm) for x in targets.clip_middle]),
        target_clip_final=normalise(targets.clip_final, clip_norm),
        loss=loss,
        **{f'loss_{name}': terms.get(name, zero) for name in ('clip_middle', 'clip_final', 'mae')},
    )
    if targets.mae:
        outputs['target_mae'] = torch.stack([normalise(x, mae_norm) for x in targets.mae])
    if attentive:
        outputs['teacher_attn'] = attention_rows(model.targets.clip.encoder, targets.attn)
    grad_of = case.facts.get('grad_of') or ()
    return Result(outputs | gradients(model, loss, grad_of, objective_name))
