"""Pretraining and distillation configs carry out what the published scripts say."""

from pathlib import Path

import pytest
import torch
from mmengine.config import Config

from internvideo.registry import MODELS
from tests.configs.recipe_facts import by_type, published_recipe
from tests.paths import CONFIGS

FAMILY = CONFIGS / 'internvideo2'
LEAVES = [f'pretrain/{size}.py' for size in ('1B', '6B')]
LEAVES += [f'distill/{size}.py' for size in ('S14', 'B14', 'L14')]
ENCODERS = {
    ('InternVLVision', '6B'): 'internvl_clip_6b',
    ('InternVideo2', '1B'): 'teacher_internvideo2_stage2_1B',
    ('VideoMAE', 'giant'): 'mae_g14_hybrid',
}
DECODERS = {'MLPDecoder': 'MLP_Decoder', 'LinearDecoder': 'Linear_Decoder'}


def optimisation_facts(cfg):
    optimizer, schedule = cfg.optim_wrapper.optimizer, cfg.param_scheduler
    return dict(
        epochs=cfg.train_cfg.max_epochs,
        warmup_epochs=schedule.warmup_epochs,
        min_lr=schedule.min_lr,
        lr=optimizer.lr,
        opt=optimizer.type.lower(),
        opt_betas=list(optimizer.betas),
        opt_eps=optimizer.eps,
        weight_decay=optimizer.weight_decay,
        clip_grad=cfg.optim_wrapper.clip_grad.max_norm,
        bf16=cfg.optim_wrapper.dtype == 'bfloat16',
        seed=cfg.randomness.seed,
        zero_stage=cfg.strategy.zero.stage,
    )


def data_facts(cfg):
    loader, dataset = cfg.train_dataloader, cfg.train_dataloader.dataset
    return dict(
        batch_size=loader.batch_size,
        num_workers=loader.num_workers,
        num_sample=dataset.get('num_repeats', 1),
        num_frames=dataset.sampling.num_frames,
        num_segments=dataset.sampling.num_frames,
        input_size=by_type(dataset.pipeline, 'MultiScaleCrop')['size'],
        flip=by_type(dataset.pipeline, 'RandomFlip')['prob'] == 0.5,
        split=dataset.delimiter,
        data_path=Path(dataset.ann_file).name,
    )


def student_facts(cfg):
    model, backbone = cfg.model, cfg.model.backbone
    task = 'pretrain' if model.get('mae_layers') else 'distill'
    return dict(
        model=f'{task}_internvideo2_{backbone.arch}_patch14_224',
        drop_path=backbone.drop_path_rate,
        use_checkpoint=backbone.use_checkpoint,
        checkpoint_num=backbone.checkpoint_num,
        mask_type={'AttentionMask': 'attention'}[model.masker.type],
        mask_ratio=model.masker.ratio,
        clip_loss_ratio=[model.loss.clip_middle, model.loss.clip_final],
        clip_student_return_interval=model.clip_layers.interval,
        clip_return_layer=model.clip_layers.count,
        clip_student_decoder=DECODERS[model.neck.clip_decoder],
    )


def teacher_facts(cfg):
    model, clip, mae = cfg.model, cfg.model.targets.clip, cfg.model.targets.get('mae')
    facts = dict(
        clip_teacher=ENCODERS[clip.encoder.type, clip.encoder.arch],
        clip_teacher_embed_dim=model.neck.clip_dim,
        clip_teacher_final_dim=model.neck.clip_final_dim,
        clip_teacher_return_interval=clip.layers.interval,
    )
    if mae:
        facts |= dict(
            mae_teacher=ENCODERS[mae.encoder.type, mae.encoder.arch],
            mae_teacher_embed_dim=model.neck.mae_dim,
            mae_tubelet_size=mae.encoder.tubelet_size,
            mae_return_layer=mae.layers.count,
            mae_teacher_return_interval=mae.layers.interval,
            mae_student_return_interval=model.mae_layers.interval,
            mae_loss_ratio=model.loss.mae,
        )
    return facts


def all_facts(cfg):
    return optimisation_facts(cfg) | data_facts(cfg) | student_facts(cfg) | teacher_facts(cfg)


@pytest.mark.parametrize('leaf', LEAVES)
def test_config_equals_the_published_recipe(leaf):
    cfg = Config.fromfile(FAMILY / leaf)
    recipe = published_recipe(cfg.recipe)
    if 'L14' in leaf:  # this script names the small model; its own name is the intent
        recipe['args'] |= dict(model='distill_internvideo2_large_patch14_224')
    expected = {k: recipe['args'][k] for k in all_facts(cfg) if k in recipe['args']}
    assert len(expected) >= 33
    assert {name: all_facts(cfg)[name] for name in expected} == expected
    assert cfg.num_gpus == recipe['gpus']


@pytest.mark.parametrize('leaf', LEAVES)
def test_rates_follow_the_published_scaling_rule(leaf):
    cfg = Config.fromfile(FAMILY / leaf)
    derived = published_recipe(cfg.recipe)['derived']
    total = cfg.train_dataloader.batch_size * cfg.num_gpus
    factor = total / cfg.lr_scaling.base_batch_size
    assert total == derived['total_batch'] and not cfg.lr_scaling.with_accumulation
    assert cfg.optim_wrapper.optimizer.lr * factor == pytest.approx(derived['peak_lr'])
    assert cfg.param_scheduler.min_lr * factor == pytest.approx(derived['min_lr'])
    assert cfg.param_scheduler.warmup_lr * factor == derived['warmup_start_lr']


@pytest.mark.parametrize('leaf', LEAVES)
def test_the_model_builds_and_fits_its_teachers(leaf):
    cfg = Config.fromfile(FAMILY / leaf)
    with torch.device('meta'):
        model = MODELS.build(cfg.model)
    frames = cfg.train_dataloader.dataset.sampling.num_frames
    assert frames == model.frame_stride * model.backbone.num_frames
    assert frames % model.targets.clip.frame_stride == 0
