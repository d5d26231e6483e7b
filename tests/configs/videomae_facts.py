"""What a resolved config of VideoMAE says, in the words of the published recipe tables."""

import json
from pathlib import Path
from typing import Any

from mmengine.config import Config

from tests.configs.recipe_facts import by_type

TABLE = json.loads(Path(__file__).with_name('internvideo1_videomae.json').read_text())
PREFIX = 'internvideo1_pretrain/videomae_'
IMAGENET = dict(mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375])
DATA_SETS = {
    'k400': 'Kinetics-400',
    'k600': 'Kinetics-600',
    'k700': 'Kinetics-700',
    'k710': 'MixKinetics',
    'anet': 'ANet',
    'ssv2_frame': 'SSV2',
}
MASKS = {'TubeMask': 't_consist', 'RandomMask': 'random'}
UNCUT = 'PATH_TO_MODEL'
"""What one script has in place of a checkpoint's name."""

# Options of the published programs that are no facts of a recipe, and why.
OF_NO_RECIPE = {
    **dict.fromkeys(
        ('data_path', 'eval_data_path', 'data_root', 'output_dir', 'log_dir'),
        'where files lie: environment variables and --work-dir',
    ),
    **dict.fromkeys(
        ('device', 'world_size', 'local_rank', 'dist_on_itp', 'dist_url', 'dist_eval'),
        'the launcher and the samplers of every evaluation',
    ),
    **dict.fromkeys(
        ('resume', 'auto_resume', 'start_epoch', 'eval', 'validation'), 'the command line'
    ),
    **dict.fromkeys(
        ('save_ckpt', 'save_ckpt_freq'), 'a checkpoint is written every epoch, and two are kept'
    ),
    'enable_deepspeed': 'without ZeRO the numbers are those of DistributedDataParallel',
    'momentum': 'of SGD; AdamW has none',
    'warmup_lr': 'is never passed on: the warm-up starts from 0, which is compared',
    'color_jitter': 'is without effect beside RandAugment, and not used in pretraining',
    'crop_pct': 'is not read: tests crop the short side',
    'decode_ratio': 'nothing reads it',
    'resplit': 'is of the augmentation by parts of a batch, never on',
    'num_segments': 'nothing reads it; `num_segment` counts',
    **dict.fromkeys(
        ('model_ema_decay', 'model_ema_force_cpu'), 'there is no average, which is compared'
    ),
    **dict.fromkeys(('model_key', 'model_prefix'), 'the adapter knows the layouts'),
}
WITHOUT_MEANING = dict(
    pretrain=OF_NO_RECIPE | {'train_interpolation': 'is not read: crops are scaled bilinearly'},
    finetune=OF_NO_RECIPE,
)


def published(key: str) -> tuple[str, dict[str, Any], dict[str, Any]]:
    """(program, arguments with its defaults, recipe) of a published script."""
    name = key.removeprefix(PREFIX)
    recipe, program = TABLE['recipes'][name], name.split('_')[0]
    return program, TABLE['common'][program] | recipe['given'], recipe


def checkpoint_name(path: str) -> str:
    """Name of a checkpoint, with its folder where names are numbers of epochs."""
    parts = Path(path).parts
    return '/'.join(parts[-2:] if parts and parts[-1].startswith('checkpoint-') else parts[-1:])


def data_sets(cfg: Config) -> dict[str, Config]:
    """Training data sets by name, one without a name for a single list."""
    given = cfg.train_dataloader.dataset
    return dict(given.datasets) if given.type == 'Mixture' else {'': given}


def optimisation_facts(cfg: Config) -> dict[str, Any]:
    """Batch, schedule and optimiser."""
    loader, optimizer = cfg.train_dataloader, cfg.optim_wrapper.optimizer
    schedule, clipping = cfg.param_scheduler, cfg.optim_wrapper.get('clip_grad')
    assert schedule.type == 'WarmupCosine' and schedule.warmup_lr == 0.0
    assert cfg.optim_wrapper.constructor == 'LayerDecayConstructor'
    return dict(
        batch_size=loader.batch_size,
        num_workers=loader.num_workers,
        pin_mem=loader.pin_memory,
        num_sample=loader.dataset.get('num_repeats', 1),
        epochs=cfg.train_cfg.max_epochs,
        warmup_epochs=schedule.warmup_epochs,
        warmup_steps=schedule.get('warmup_steps', -1),
        min_lr=schedule.min_lr,
        lr=optimizer.lr,
        opt=optimizer.type.lower(),
        opt_betas=list(optimizer.betas),
        opt_eps=optimizer.eps,
        weight_decay=optimizer.weight_decay,
        weight_decay_end=None,  # one schedule, that of the rate
        clip_grad=clipping.max_norm if clipping else None,
        seed=cfg.randomness.seed,
        imagenet_default_mean_and_std={name: cfg.model.data_preprocessor[name] for name in IMAGENET}
        == IMAGENET,
    )


def pretraining_facts(cfg: Config) -> dict[str, Any]:
    """All that the published table says about pretraining."""
    model, parts = cfg.model, data_sets(cfg)
    backbone = model.backbone
    (frames,) = {part.sampling.num_frames for part in parts.values()}
    (size,) = {by_type(part.pipeline, 'MultiScaleCrop')['size'] for part in parts.values()}
    assert frames == backbone.num_frames and size == backbone.img_size
    steps = {name: part.sampling.stride for name, part in parts.items()}
    # In a mixture the loader goes by the data set, whatever the script says.
    step = {value for name, value in steps.items() if name != 'ssv2'}
    assert steps.get('ssv2', 2) == 2
    return optimisation_facts(cfg) | dict(
        model=f'pretrain_mae_{backbone.arch}_patch{backbone.patch_size}_{backbone.img_size}',
        decoder_depth=model.decoder.depth,
        mask_type=MASKS[model.masker.type],
        mask_ratio=model.masker.ratio,
        normlize_target=model.target == 'normalised',
        input_size=size,
        num_frames=frames,
        sampling_rate=step.pop() if len(step) == 1 else step,
        drop_path=backbone.get('drop_path_rate', 0.0),
        with_checkpoint=backbone.get('checkpoint_num', 0) > 0,
        finetune=checkpoint_name((model.get('init_cfg') or {}).get('checkpoint', '')),
    )


def augmentation_facts(cfg: Config) -> dict[str, Any]:
    """What happens to the clips of fine-tuning."""
    augments, pipeline = (
        cfg.model.data_preprocessor.batch_augments,
        cfg.train_dataloader.dataset.pipeline,
    )
    erasing, mixing = by_type(augments, 'RandomErasing'), by_type(augments, 'MixupCutmix')
    crop = by_type(pipeline, 'RandomResizedCrop')
    assert tuple(crop['scale']) == (0.08, 1.0) and tuple(crop['ratio']) == (0.75, 1.3333)
    return dict(
        aa=by_type(pipeline, 'RandAugment')['policy'],
        train_interpolation='bicubic',  # the only one of RandAugment
        input_size=crop['size'],
        reprob=erasing['prob'],
        remode=erasing['mode'],
        recount=erasing.get('max_count', 1),
        mixup=mixing['mixup_alpha'],
        cutmix=mixing['cutmix_alpha'],
        cutmix_minmax=mixing.get('cutmix_minmax'),
        mixup_prob=mixing.get('prob', 1.0),
        mixup_switch_prob=mixing.get('switch_prob', 0.5),
        mixup_mode=mixing.get('mode', 'batch'),
        smoothing=mixing['smoothing'],
    )


def clip_facts(cfg: Config) -> dict[str, Any]:
    """Frames of the clips, and the views of the test."""
    loaders = [cfg.train_dataloader, cfg.val_dataloader, cfg.test_dataloader]
    train, val, test = (loader.dataset for loader in loaders)
    (kind,) = {dataset.sampling.type for dataset in (train, val, test)}
    (frames,) = {dataset.sampling.num_frames for dataset in (train, val, test)}
    assert [dataset.sampling.mode for dataset in (train, val, test)] == ['train', 'val', 'test']
    name = DATA_SETS[Path(test.data_prefix).name]
    facts = dict(
        data_set=name,
        num_frames=frames,
        short_side_size=by_type(test.pipeline, 'Resize')['short_side'],
        test_num_segment=test.sampling.num_views,
        test_num_crop=by_type(test.pipeline, 'UniformCrops')['num_crops'],
        disable_eval_during_finetuning=cfg.train_cfg.val_interval != 1,
    )
    if kind == 'DenseSample':
        assert {dataset.sampling.stride for dataset in (train, val, test)} == {4}
        assert val.sampling.centered_val and test.sampling.strided_views
        return facts | dict(sparse_sample=False, sampling_rate=4)
    assert kind == 'SegmentSample' and test.sampling.media == 'video'
    # Something-Something is always sparse, without the option; `sampling_rate` is not read then.
    sparse = name != 'SSV2'
    return facts | dict(sparse_sample=sparse, sampling_rate=4)


def finetuning_facts(cfg: Config) -> dict[str, Any]:
    """All that the published table says about fine-tuning."""
    backbone, head = cfg.model.backbone, cfg.model.head
    paramwise = cfg.optim_wrapper.paramwise_cfg
    hooks = [hook['type'] for hook in cfg.get('custom_hooks') or []]
    facts = optimisation_facts(cfg) | augmentation_facts(cfg) | clip_facts(cfg)
    assert (backbone.num_frames, backbone.img_size) == (facts['num_frames'], facts['input_size'])
    return facts | dict(
        model=f'vit_{backbone.arch}_patch{backbone.patch_size}_{backbone.img_size}',
        tubelet_size=backbone.tubelet_size,
        drop=0.0,  # tokens are never dropped out
        attn_drop_rate=0.0,  # nor are scores
        drop_path=backbone.drop_path_rate,
        head_drop_rate=head.get('dropout', 0.0),
        with_checkpoint=backbone.get('checkpoint_num', 0) > 0,
        use_mean_pooling=backbone.pooling == 'mean' and not backbone.final_norm,
        nb_classes=head.num_classes,
        init_scale=head.get('init_scale', 0.001),
        num_segment=head.get('num_segments', 1),
        update_freq=cfg.optim_wrapper.get('accumulative_counts', 1),
        layer_decay=paramwise.layer_decay_rate,
        extra_decay=paramwise.get('extra_decay', 1.0),
        model_ema=any('EMA' in hook for hook in hooks),
        finetune=checkpoint_name(cfg.model.init_cfg.checkpoint),
    )


FACTS = dict(pretrain=pretraining_facts, finetune=finetuning_facts)


def derived_facts(cfg: Config) -> dict[str, float]:
    """Batch and rates after the scaling rule, with the published number of GPUs."""
    loader, rule = cfg.train_dataloader, cfg.lr_scaling
    total = loader.batch_size * cfg.num_gpus * cfg.optim_wrapper.get('accumulative_counts', 1)
    assert rule.with_repeats is False and rule.get('with_accumulation', True)
    factor = total / rule.base_batch_size
    return dict(
        total_batch=total,
        clips_per_step=total * loader.dataset.get('num_repeats', 1),
        peak_lr=cfg.optim_wrapper.optimizer.lr * factor,
        min_lr=cfg.param_scheduler.min_lr * factor,
    )
