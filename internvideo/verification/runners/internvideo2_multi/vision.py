"""Runners of the vision towers, their teacher, tables, masks and alignment losses."""

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from internvideo.checkpoint.adapters.alignment import PATCH_KERNEL, InternVLAdapter
from internvideo.checkpoint.tensor_conversion import inflate_patch_kernel
from internvideo.models.layers.position import sincos_1d, sincos_2d, sincos_3d
from internvideo.models.losses.alignment import AlignmentLoss
from internvideo.models.losses.feature_distance import FeatureDistanceLoss
from internvideo.models.tasks.pretraining.teachers import aligned_layers
from internvideo.ops.features import normalise
from internvideo.ops.position_tables import interpolate_joint_table
from internvideo.registry import MODELS
from internvideo.structures.aligned_features import AlignedFeatures
from internvideo.verification.cases import Case, CaseError, RunEnv
from internvideo.verification.facts import Facts
from internvideo.verification.runner_registry import Result, parity_runner
from internvideo.verification.runners.internvideo2_recipes.batch import shuffled_mask
from internvideo.verification.runners.internvideo2_single.classifier import ENCODER_FIELDS

from .common import check_returned, load_filled, loss_outputs

DECODER_PARTS = ('clip_decoder', 'final_clip_decoder', 'clip_pos_embed', 'clip_img_pos_embed')


def encoder_config(facts: dict[str, Any], env: RunEnv, **fields: Any) -> dict[str, Any]:
    """Config of our encoder for the facts of a published tower."""
    own = {name: facts[name] for name in ENCODER_FIELDS if name in facts}
    act = facts.get('mlp_act', 'gelu')
    if 'in_chans' in facts:
        own['in_channels'] = facts['in_chans']
    return (
        dict(type='InternVideo2', arch=None, act=act, attn_backend=env.attn_backend) | own | fields
    )


def student_configs(facts: dict[str, Any], env: RunEnv) -> tuple[dict[str, Any], dict[str, Any]]:
    """Configs of encoder and decoders of a stage-2 student."""
    table = 'separate' if facts['sep_image_video_pos_embed'] else 'shared'
    neck = dict(
        type='AlignmentNeck',
        clip_dim=facts['clip_teacher_embed_dim'],
        clip_layers=facts['clip_return_layer'],
        clip_final_dim=facts['clip_teacher_final_dim'],
        clip_norm=facts['clip_norm_type'],
    )
    return encoder_config(facts, env, image_pos_embed=table), neck


class Student(nn.Module):
    """Encoder and decoders side by side, as the published file has them."""

    def __init__(self, facts: dict[str, Any], env: RunEnv) -> None:
        super().__init__()
        encoder, neck = student_configs(facts, env)
        self.encoder = MODELS.build(encoder)
        sizes = dict(
            embed_dim=self.encoder.embed_dim,
            pooled_dim=self.encoder.pooled_dim,
            grid=self.encoder.grid,
            image_pos_embed=self.encoder.image_pos_embed,
        )
        self.neck = MODELS.build(neck | sizes)


def student_name(published: str) -> str:
    return f'{"neck" if published.startswith(DECODER_PARTS) else "encoder"}.{published}'


def layer_choice(facts: dict[str, Any], owner: str = 'student_') -> dict[str, float]:
    count, interval = facts['clip_return_layer'], facts[f'clip_{owner}return_interval']
    return dict(count=count, interval=interval)


def patch_mask(case: Case, env: RunEnv) -> Tensor | None:
    """The mask of a case with the column of the class token, or None."""
    if not any(name.endswith('.mask') for name in case.inputs):
        return None
    return nn.functional.pad(env.tensor(case.role('mask')).bool(), (1, 0), value=False)


def student_outputs(model: Student, case: Case, env: RunEnv) -> dict[str, Tensor]:
    facts, mask = case.facts, patch_mask(case, env)
    facts.require(model='stage2_vision_encoder')
    check_tower(facts, case.role('x'))
    taps = aligned_layers(model.encoder.depth, layer_choice(facts))
    video, depth = env.tensor(case.role('x')), model.encoder.depth
    last = depth + facts['x_vis_return_idx']
    if last != depth - 1 and not facts['x_vis_only']:
        raise CaseError('a tower that stops early gives its tokens only: no layer is aligned')
    if facts['x_vis_only']:
        out = model.encoder(video, mask, return_layers=[last], layers_only=True)
        return dict(x_vis=out.layers[0])
    out = model.encoder(video, mask, return_layers=taps)
    visible = None
    if mask is not None:
        visible = (~mask).nonzero()[:, 1].view(len(mask), -1)
    aligned = model.neck(out.pooled, out.layers, (), visible, facts['media'] == 'image')
    return dict(
        x_vis=out.tokens,
        x_pool_vis=out.pooled,
        x_clip_align=torch.stack(aligned.clip_middle),
        x_align=aligned.clip_final,
    )


@parity_runner('internvideo2_multi/s2_vision')
def run_student(case: Case, env: RunEnv) -> Result:
    model = load_filled(Student(case.facts, env), case, env, student_name)
    outputs = student_outputs(model, case, env)
    return Result(outputs | loss_outputs(model, case, env, student_name, outputs))


def check_tower(facts: Facts, video: np.ndarray) -> None:
    """Check what a case says about a tower and about the kind of its input."""
    facts.require(norm='rms(eps 1e-6)', media='image' if video.shape[2] == 1 else 'video')


def same_name(published: str) -> str:
    return published


@parity_runner('internvideo2_multi/clip_vision')
def run_clip_tower(case: Case, env: RunEnv) -> Result:
    model = MODELS.build(
        encoder_config(case.facts, env, image_pos_embed='shared', layerscale_force_fp32=False)
    )
    model = load_filled(model, case, env, same_name)
    case.facts.require(model='clip_vision_encoder')
    check_tower(case.facts, case.role('x'))
    outputs = dict(feature=model(env.tensor(case.role('x'))).pooled)
    return Result(outputs | loss_outputs(model, case, env, same_name, outputs))


def teacher_config(facts: dict[str, Any], env: RunEnv) -> dict[str, Any]:
    return encoder_config(facts, env, type='InternVLVision')


@parity_runner('internvideo2_multi/teacher')
def run_teacher(case: Case, env: RunEnv) -> Result:
    facts = case.facts
    model = load_filled(MODELS.build(teacher_config(facts, env)), case, env, same_name)
    taps, video = aligned_layers(model.depth, layer_choice(facts, '')), env.tensor(case.role('x'))
    facts.require(model='internvl_teacher', T=video.shape[2])
    if facts['clip_norm_type'] == 'none':  # features of the frames, as they are
        video = video.transpose(1, 2).flatten(0, 1)[:, :, None]
    out = model(video, return_layers=taps, return_attn=facts['return_attn'])
    middle = [normalise(layer, facts['clip_norm_type']) for layer in out.layers]
    outputs = dict(middle=torch.stack(middle), final=normalise(out.pooled, facts['clip_norm_type']))
    if facts['return_attn']:
        outputs['attention'] = out.attn.reshape(-1, model.grid[1] * model.grid[2])
    return Result(outputs | loss_outputs(model, case, env, same_name, outputs))


@parity_runner('internvideo2_multi/teacher_checkpoint_load')
def run_teacher_load(case: Case, env: RunEnv) -> Result:
    kernel = env.tensor(case.role('w'))
    side, patch = case.facts['grid_new'], kernel.shape[-1]
    rows = case.role('pos').shape[-2] - 1
    case.facts.require(grid_old=round(rows**0.5))
    model = MODELS.build(
        dict(
            type='InternVLVision',
            arch=None,
            embed_dim=case.facts['dim'],
            depth=0,
            num_heads=1,
            mlp_ratio=1,
            img_size=side * patch,
            patch_size=patch,
            clip_embed_dim=0,
        )
    )
    published = {'pos_embed': env.tensor(case.role('pos')), PATCH_KERNEL: kernel}
    unused = {'transformer.norm.weight': kernel, 'text_projection': kernel}
    state = InternVLAdapter().to_ours(published | unused, model)
    inflated = inflate_patch_kernel(state[PATCH_KERNEL], case.facts.get('temporal_kernel', 1))
    return Result(state | {PATCH_KERNEL: inflated})


@parity_runner('internvideo2_multi/pos_resize')
def run_pos_resize(case: Case, env: RunEnv) -> Result:
    facts = case.facts
    grid = (facts['t_new'], facts['grid_new'], facts['grid_new'])
    tables = {name: env.tensor(case.role(name)) for name in case.outputs}
    facts.require(
        kind=('resume', 'stage1_to_stage2', 'stage2_to_clip'),
        dim=tuple({table.shape[-1] for table in tables.values()}),
    )
    for name, table in tables.items():
        steps = 1 if 'img_pos_embed' in name else facts['t_old']
        if table.shape[-2] != 1 + steps * facts['grid_old'] ** 2:
            raise CaseError(f'{name} has {table.shape[-2]} rows, not those of the old grid')
    return Result(
        {
            name: table
            if 'img_pos_embed' in name  # images have one time step in every model
            else interpolate_joint_table(table, facts['t_old'], grid)
            for name, table in tables.items()
        }
    )


@parity_runner('internvideo2_multi/pos_tables')
def run_pos_tables(case: Case, env: RunEnv) -> Result:
    dim, steps, grid = case.facts['embed_dim'], case.facts['t'], (case.facts['grid'],) * 2
    return Result(
        dict(
            joint_cls=sincos_3d(dim, steps, grid, cls_token=True),
            spatial=sincos_2d(dim, grid),
            temporal=sincos_1d(dim, steps),
        )
    )


@parity_runner('internvideo2_multi/mask')
def run_mask(case: Case, env: RunEnv) -> Result:
    facts = case.facts
    rng = np.random.RandomState(facts['numpy_global_seed'])
    draw = (facts['kind'], facts['window'], facts['ratio'], rng)
    return Result(dict(mask=torch.stack([shuffled_mask(*draw)[0] for _ in range(facts['batch'])])))


@parity_runner('internvideo2_multi/uta')
def run_uta(case: Case, env: RunEnv) -> Result:
    roles = [f'{side}{part}' for side in ('student', 'teacher') for part in ('', '_final', '_text')]
    given = {role: env.tensor(case.role(role)) for role in roles if role in case.roles}
    run = alignment_outputs if case.facts['criterion'] == 'new' else distance_outputs
    outputs = run(case, given)
    check_returned(case, outputs)
    return Result(outputs)


def alignment_outputs(case: Case, given: dict[str, Tensor]) -> dict[str, Tensor]:
    facts, given = case.facts, {name: normalise(value, 'l2') for name, value in given.items()}
    student = given['student'].requires_grad_()
    facts.require(K=len(student))
    middle, final = facts['clip_loss_ratio']
    final = final if facts['distill_final_features'] else 0.0
    sides = [
        AlignedFeatures(list(given[name]), given.get(f'{name}_final'), [])
        for name in ('student', 'teacher')
    ]
    nothing = 0.0 * student.sum()  # where no term counts
    loss = sum(AlignmentLoss(middle, final)(*sides).values(), nothing)
    loss.backward()
    shape = case.outputs['loss']['shape']
    return {'loss': loss.reshape(shape), 'grad:student': student.grad}


def distance_outputs(case: Case, given: dict[str, Tensor]) -> dict[str, Tensor]:
    criterion = FeatureDistanceLoss(case.facts['norm_type'], case.facts['loss_type'])
    pair = (given['student'], given['teacher'])
    texts = (given.get('student_text'), given.get('teacher_text'))
    values = dict(
        plain=lambda: criterion.plain(*pair),
        vision=lambda: criterion.vision(*pair),
        all=lambda: criterion(*pair, *texts),
    )
    return {name: values[name]() for name in case.facts['returns']}
