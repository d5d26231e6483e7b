"""InternVideo-Next's pretraining configs carry out what the published scripts say."""

import json

import pytest
from mmengine.config import Config

from internvideo.models.tasks.pretraining.teachers import aligned_layers
from internvideo.registry import MODELS
from tests.configs.recipe_facts import by_type
from tests.paths import CONFIGS, ROOT

FOLDER = CONFIGS / 'internvideo_next' / 'pretrain'
RECIPES = json.loads((ROOT / 'tests/configs/internvideo_next.json').read_text())
DEPTHS = dict(base=12, large=24)


def config(name):
    return Config.fromfile(FOLDER / f'{name}.py')


def script_facts(cfg):
    """Facts of a config in the words of the published scripts."""
    model, loader = cfg.model, cfg.train_dataloader
    optimizer, sampling = cfg.optim_wrapper.optimizer, loader.dataset.sampling
    facts = dict(
        batch_size=loader.batch_size,
        num_workers=loader.num_workers,
        num_frames=sampling.num_frames,
        num_segments=sampling.num_frames,
        num_sample=loader.dataset.get('num_repeats', 1),
        input_size=by_type(loader.dataset.pipeline, 'MultiScaleCrop')['size'],
        flip=by_type(loader.dataset.pipeline, 'RandomFlip')['prob'] == 0.5,
        epochs=cfg.train_cfg.max_epochs,
        warmup_epochs=cfg.param_scheduler.warmup_epochs,
        lr=optimizer.lr,
        opt=optimizer.type.lower(),
        opt_betas=list(optimizer.betas),
        opt_eps=optimizer.eps,
        weight_decay=optimizer.weight_decay,
        clip_grad=cfg.optim_wrapper.clip_grad.max_norm,
        bf16=cfg.optim_wrapper.dtype == 'bfloat16',
        zero_stage=cfg.strategy.zero.stage,
        drop_path=model.backbone.drop_path_rate,
        tubelet_size=model.backbone.get('tubelet_size', 1),
        model=f'internvideo_next_{model.type[-6:].lower()}_{model.backbone.arch}',
    )
    if 'teacher' in model:
        loss, teacher = model.loss, model.teacher
        facts |= dict(
            mask_type={'AttentionMask': 'attention'}[model.masker.type],
            mask_ratio=model.masker.ratio,
            clip_input_resolution=teacher.encoder.img_size,
            clip_return_layer=teacher.layers.count,
            clip_teacher_return_interval=teacher.layers.interval,
            clip_student_return_interval=model.clip_layers.interval,
            clip_teacher_embed_dim=model.align_dim,
            clip_teacher_final_dim=model.align_final_dim,
            clip_loss_ratio=[loss.clip_middle, loss.clip_final, loss.diffusion],
        )
    else:
        facts['momentum'] = model.momentum
    return facts


@pytest.mark.parametrize('name', RECIPES)
def test_config_equals_the_published_script(name):
    cfg, recipe = config(name), RECIPES[name]
    assert cfg.recipe == f'internvideo_next/{name}' and cfg.num_gpus == recipe['gpus']
    # One script trains the base model under the name of the large one.
    script = recipe['explicit'] | dict(model=recipe['intended_model'])
    found = script_facts(cfg)
    expected = {key: script[key] for key in found if key in script}
    assert len(expected) >= 20
    assert {key: found[key] for key in expected} == expected


@pytest.mark.parametrize('name', RECIPES)
def test_what_the_script_comes_to(name):
    cfg, effective = config(name), RECIPES[name]['effective']
    total = cfg.train_dataloader.batch_size * cfg.num_gpus
    factor = total / cfg.lr_scaling.base_batch_size
    assert total == effective['total_batch']
    assert cfg.optim_wrapper.optimizer.lr * factor == pytest.approx(effective['lr'])
    assert cfg.param_scheduler.min_lr * factor == pytest.approx(effective['min_lr'])
    assert cfg.param_scheduler.warmup_lr == effective['warmup_start']
    assert cfg.model.backbone.num_frames == effective['model_num_frames']
    assert not cfg.model.backbone.get('use_checkpoint', False)
    flip = by_type(cfg.train_dataloader.dataset.pipeline, 'RandomFlip')
    assert ('ssv2' in flip['skip_sources']) == (not effective['flip_ssv2'])
    if 'teacher' in cfg.model:
        size = name.partition('_')[0]
        layers = aligned_layers(DEPTHS[size], cfg.model.clip_layers)
        wanted = RECIPES[name].get('intended_student_return_index')
        assert layers == (wanted or effective['student_return_index'])
        assert aligned_layers(40, cfg.model.teacher.layers) == effective['teacher_return_index']
    else:
        maskers = [MODELS.build(masker) for masker in cfg.model.maskers]
        for masker, facts in zip(maskers, effective['masks'], strict=True):
            assert masker.num_blocks == facts['num_blocks']
            assert masker.spatial_scale == (facts['spatial_scale'],) * 2
            assert list(masker.aspect_ratio) == effective['mask_aspect_ratio']
            assert masker.temporal_scale == (effective['mask_temporal_scale'],) * 2
            assert masker.max_keep == effective['mask_max_keep']
        assert cfg.model.momentum == effective['teacher_momentum']


@pytest.mark.parametrize('name', RECIPES)
def test_the_leaf_of_the_paper_says_what_the_paper_says(name):
    cfg, paper = config(f'{name}_paper'), RECIPES[name]['as_published_in_paper']
    assert cfg.recipe is None
    assert cfg.train_dataloader.batch_size * cfg.num_gpus == paper['batch']
    assert cfg.train_cfg.max_epochs == paper['epochs']
    assert cfg.param_scheduler.warmup_epochs == paper['warmup_epochs']
    assert cfg.optim_wrapper.optimizer.lr == paper['lr']
    assert cfg.train_dataloader.dataset.sampling.num_frames == paper['frames']
    if 'mask_ratio' in paper:
        assert cfg.model.masker.ratio == paper['mask_ratio']
