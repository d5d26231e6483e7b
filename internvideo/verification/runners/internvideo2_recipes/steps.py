"""Runners of one pretraining or distillation step around given features."""

import torch
from torch import Tensor

from internvideo.models.losses.alignment import AlignmentLoss
from internvideo.models.masks.token_masks import hide_all_but, visible_count, visible_indices
from internvideo.models.tasks.pretraining.targets import Targets
from internvideo.ops.features import normalise
from internvideo.structures.aligned_features import AlignedFeatures
from internvideo.verification.cases import Case, CaseError, RunEnv
from internvideo.verification.runner_registry import Result, parity_runner
from internvideo.verification.runners.internvideo2_single.pretrain import unweighted_terms


def given_mask(case: Case, env: RunEnv) -> Tensor:
    """(B, N) mask of a case: given, or the tokens that its order leaves visible."""
    if 'importance' not in case.roles:
        return env.tensor(case.role('mask')).bool()
    order = env.tensor(case.role('importance')).argsort(dim=-1)
    size = order.shape[1]
    count = visible_count(size, case.facts['mask_ratio'])
    return hide_all_but(order[:, :count], size).view(case.facts['batch'], -1)


def step_mask(case: Case, env: RunEnv) -> Tensor:
    """(B, 1+N) mask of a case, the class token visible."""
    return torch.nn.functional.pad(given_mask(case, env), (1, 0), value=False)


def given_gradients(raw: dict[str, Tensor]) -> dict[str, Tensor]:
    """Gradients of the given features, zero for those that no term used."""
    return {
        f'grad:{name}': torch.zeros_like(value) if value.grad is None else value.grad
        for name, value in raw.items()
    }


def step_targets(case: Case, env: RunEnv) -> Targets:
    middle = list(env.tensor(case.role('teacher_middle')))
    mae = list(env.tensor(case.role('mae_teacher'))) if 'mae_teacher' in case.roles else []
    final = env.tensor(case.role('teacher_final')) if 'teacher_final' in case.roles else None
    return Targets(middle, final, mae)


def check_step(case: Case) -> None:
    """Check the facts that repeat the shapes of the given arrays."""
    facts, family = case.facts, case.family.rpartition('_')[2]
    order = 'importance' if 'importance' in case.roles else 'mask'
    size = case.role('teacher_middle').shape[2] - 1
    given = case.role(order)
    frames = facts.get('frames', 1) // facts.get('temporal_downsampling', 1)
    facts.require(
        kind=(family, f'{family}_attention', f'{family}_tube', f'{family}_random'),
        batch=case.role('student_middle').shape[1],
        teacher_layers=len(case.role('teacher_middle')),
    )
    if frames * facts.get('tokens_per_frame', size // frames) != size:
        raise CaseError(f'{size} tokens are not frames times tokens_per_frame')
    video = facts.get('student_video_shape')
    if video and (video[0], video[2]) != (facts['batch'], frames):
        raise CaseError(f'student_video_shape is {video}: not that of {frames} frames')
    if order == 'mask':
        hidden = size - visible_count(size, facts['mask_ratio'])
        if (given.sum(axis=-1) != hidden).any():
            raise CaseError('the given mask hides another share than mask_ratio')


@parity_runner('internvideo2_recipes/step_pretrain', 'internvideo2_recipes/step_distill')
def run_step(case: Case, env: RunEnv) -> Result:
    check_step(case)
    mask = step_mask(case, env)
    visible = visible_indices(mask, int((~mask[0]).sum()))
    names = [n for n in ('student_middle', 'student_final', 'student_mae') if n in case.roles]
    raw = {name: env.tensor(case.role(name)).requires_grad_() for name in names}
    unit = {name: normalise(value, 'l2') for name, value in raw.items()}
    student = AlignedFeatures(
        list(unit['student_middle']), unit.get('student_final'), list(unit.get('student_mae', ()))
    )
    middle, final = case.facts['clip_loss_ratio']
    distills, mae_weight = (
        case.facts.get('distill_final_features', True),
        case.facts.get('mae_loss_ratio', 1),
    )
    wants_final = final and distills
    wants_final = wants_final and {'student_final', 'teacher_final'} <= case.roles.keys()
    if not wants_final:
        final, student = 0, student._replace(clip_final=None)
    criterion = AlignmentLoss(middle, final, mae_weight)
    target = step_targets(case, env).pick(visible, 'l2', 'l2')
    terms, zero = unweighted_terms(student, target), torch.zeros((), requires_grad=True)
    loss = sum(criterion(student, target).values(), zero)
    loss.backward()
    outputs = {f'loss_{name}': terms.get(name, zero) for name in criterion.weights}
    return Result(dict(mask=mask, loss=loss, **outputs, **given_gradients(raw)))
