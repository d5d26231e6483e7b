"""Runners of InternVideo-Next: block masks, and one step of each stage around given features."""

import numpy as np
import torch
from torch import Tensor, nn

from internvideo.models.losses.diffusion_alignment import DiffusionAlignmentLoss
from internvideo.models.losses.latent_prediction import LatentPredictionLoss, hidden_tokens
from internvideo.models.masks.block_masks import BlockMask
from internvideo.models.masks.token_masks import visible_indices
from internvideo.models.tasks.pretraining.frame_targets import FrameTargets
from internvideo.models.tasks.pretraining.moving_average import MovingTarget
from internvideo.ops.features import normalise
from internvideo.structures.aligned_features import AlignedFeatures
from internvideo.verification.cases import Case, CaseError, RunEnv
from internvideo.verification.facts import Facts
from internvideo.verification.runner_registry import Result, parity_runner
from internvideo.verification.runners.internvideo2_single.pretrain import unweighted_terms

from .steps import given_gradients, given_mask

Grid = tuple[int, int, int]
SETTINGS = (
    'tubelet',
    'patch',
    'crop',
    'aspect',
    'blocks',
    'spatial',
    'temporal',
    'max_temporal_keep',
    'max_keep',
)


class RecordedBlockMask(BlockMask):
    """Notes each draw of a position as (exclusive bound, value) in ``draws``."""

    def __init__(self, draws: list[tuple[int, int]], **fields) -> None:
        super().__init__(**fields)
        self.draws = draws

    def draw_offset(self, choices: int) -> int:
        value = super().draw_offset(choices)
        self.draws.append((choices, value))
        return value


def block_grid(settings: dict, frames: int) -> Grid:
    crop, patch = settings.get('crop', (224, 224)), settings.get('patch', (14, 14))
    (height, width), (rows, columns) = np.broadcast_to(crop, 2), np.broadcast_to(patch, 2)
    return frames // settings.get('tubelet', 1), int(height // rows), int(width // columns)


def block_mask(settings: dict, draws: list) -> RecordedBlockMask:
    names = dict(
        aspect='aspect_ratio',
        temporal='temporal_scale',
        max_temporal_keep='max_temporal_keep',
        max_keep='max_keep',
    )
    given = {ours: settings[theirs] for theirs, ours in names.items() if theirs in settings}
    return RecordedBlockMask(
        draws, num_blocks=settings['blocks'], spatial_scale=settings['spatial'], **given
    )


def check_draws(combo: Facts, settings: list[Facts]) -> None:
    """Check that a combination says of its generators what these say themselves."""
    combo.ignore('preset')  # whether the published settings are meant; they are listed
    for one in settings:
        combo.require(**{name: one[name] for name in SETTINGS if name in one})


@parity_runner('internvideo2_recipes/jepa_masks')
def run_jepa_masks(case: Case, env: RunEnv) -> Result:
    outputs = {}
    for index, combo in enumerate(case.facts['combos']):
        draws: list[tuple[int, int]] = []
        settings = combo.get('generators') or [combo]
        check_draws(combo, settings)
        maskers = [block_mask(one, draws) for one in settings]
        which = combo.get('which', range(len(maskers)))
        torch.manual_seed(combo.get('seed', 0))
        masks = []
        for call in range(combo['calls']):
            chosen = which[call % len(which)]
            grid = block_grid(settings[chosen], combo['frames'])
            masks.append(maskers[chosen](None, combo['batch'], grid, env.device).cpu())
        stack = torch.stack(masks).numpy()
        outputs |= {f'mask{index}': np.packbits(stack), f'shape{index}': np.array(stack.shape)}
        listed = combo.get('draws_per_call')
        if listed is not None and sum(listed) != len(draws):
            raise CaseError(f'{len(draws)} positions were drawn, the case says {sum(listed)}')
        outputs[f'draws{index}'] = np.array(draws, dtype=np.int64).reshape(-1, 2)
    return Result(outputs)


@parity_runner('internvideo2_recipes/step_next_stage1')
def run_stage1(case: Case, env: RunEnv) -> Result:
    mask = given_mask(case, env)
    layers, rows, tokens = case.role('teacher_middle').shape[:3]
    case.facts.require(
        teacher_layers=layers, frames=rows // case.facts['batch'], tokens_per_frame=tokens
    )
    visible = visible_indices(mask, int((~mask[0]).sum()))
    names = [n for n in ('student_middle', 'student_final', 'diffusion_loss') if n in case.roles]
    raw = {name: env.tensor(case.role(name)).requires_grad_() for name in names}
    middle, final, diffusion = (*case.facts.get('clip_loss_ratio', ()), 1, 1, 1)[:3]
    wants_final = final and {'student_final', 'teacher_final'} <= case.roles.keys()
    teacher_final = env.tensor(case.role('teacher_final')) if wants_final else None
    target = FrameTargets(
        case.facts['batch'], list(env.tensor(case.role('teacher_middle'))), teacher_final
    ).pick(visible)
    student = AlignedFeatures(
        list(normalise(raw['student_middle'], 'l2')),
        normalise(raw['student_final'], 'l2') if wants_final else None,
        [],
    )
    criterion = DiffusionAlignmentLoss(middle, final, diffusion)
    losses = criterion(student, target, raw.get('diffusion_loss'))
    terms, zero = unweighted_terms(student, target), torch.zeros((), requires_grad=True)
    loss = sum(losses.values(), zero)
    loss.backward()
    outputs = {f'loss_{name}': terms.get(name, zero) for name in ('clip_middle', 'clip_final')}
    if 'diffusion_loss' in raw:
        outputs['loss_diffusion'] = raw['diffusion_loss'].mean()
    return Result(dict(mask=mask, loss=loss, **outputs, **given_gradients(raw)))


def stage2_masks(case: Case, env: RunEnv) -> list[Tensor]:
    torch.manual_seed(case.facts.get('seed', 0))
    settings, frames = case.facts['generators'], case.facts['frames']
    return [
        block_mask(one, [])(None, case.facts['batch'], block_grid(one, frames), env.device)
        for one in settings
    ]


def averaged_teacher(facts: dict) -> Tensor:
    """A teacher's parameter after the optimiser moved the student and the average followed."""
    probe, student = facts['moving_average_probe'], nn.Module()
    student.value = nn.Parameter(torch.full(probe['shape'], float(probe['teacher_before'])))
    target = MovingTarget(student, facts.get('momentum', 1.0))
    after_step = probe['student_before'] + probe.get('optimiser_step_adds', 0.0)
    nn.init.constant_(student.value, after_step)
    target.follow(student)
    return target.network.value


@parity_runner('internvideo2_recipes/step_next_stage2')
def run_stage2(case: Case, env: RunEnv) -> Result:
    masks = stage2_masks(case, env)
    case.facts.require(tokens_per_frame=masks[0].shape[1] // case.facts['frames'])
    student = env.tensor(case.role('student')).requires_grad_()
    predictions = [
        hidden_tokens(tokens, mask, int(mask[0].sum()))
        for tokens, mask in zip(student, masks, strict=True)
    ]
    losses = LatentPredictionLoss()(predictions, env.tensor(case.role('target')), masks)
    loss = sum(losses.values())
    loss.backward()
    packed = {
        f'mask_{letter}': np.packbits(mask.cpu().numpy())
        for letter, mask in zip('abcdefgh', masks, strict=False)
    }
    outputs = dict(loss=loss, **packed, **losses, **{'grad:student': student.grad})
    if 'moving_average_probe' in case.facts:
        outputs['teacher_after'] = averaged_teacher(case.facts)
    return Result(outputs)
