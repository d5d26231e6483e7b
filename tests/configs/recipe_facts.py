"""What a resolved config says, in the words of the published recipe tables."""

import json
from pathlib import Path
from typing import Any

from mmengine.config import Config

TABLE = Path(__file__).with_name('internvideo2_single_modality.json')
PREFIX = 'internvideo2_single_modality/'
MODEL_NAMES = {
    'ClassificationHead': 'internvideo2_{}_patch14_224',
    'AttentiveProbeHead': 'internvideo2_ap_{}_patch14_224',
    'ConcatProbeHead': 'internvideo2_cat_{}_patch14_224',
}


# Where a script contradicts its own name the name is the intent: its value, and the script's.
INTENTS: dict[str, dict[str, tuple[Any, Any]]] = {
    'finetuning/full_tuning/ssv2/B14_ft_ssv2_f8': {
        'model': ('internvideo2_base_patch14_224', 'internvideo2_large_patch14_224'),
        'finetune': ('B14_dist_1B_stage2.pth', 'S14_dist_1B_stage2.pth'),
    },
    'finetuning/full_tuning/ssv2/L14_ft_ssv2_f8': {
        'model': ('internvideo2_large_patch14_224', 'internvideo2_small_patch14_224'),
        'finetune': ('L14_dist_1B_stage2.pth', 'S14_dist_1B_stage2.pth'),
    },
    'finetuning/full_tuning/mit/6B_ft_k710_ft_k400_ft_mit_f8_res224to336': {
        'finetune': ('6B_ft_k710_ft_k400_ft_mit_f8.pth', '6B_ft_k710_ft_k400_ft_mit_f8'),
    },
    # Frames stay 16, as the script and the published summary have it: f8 names what it starts from.
    'finetuning/full_tuning/anet/6B_ft_k710_ft_k400_ap_anet_f8': {
        'finetune': ('6B_ft_k710_ft_k400_f8.pth', '1B_ft_k710_ft_k400_f8.pth'),
    },
    'finetuning/full_tuning/hacs/6B_ft_k710_ft_k400_ap_hacs_f8': {
        'finetune': ('6B_ft_k710_ft_k400_f8.pth', '1B_ft_k710_ft_k400_f8.pth'),
    },
    # The script would start from its own result.
    'finetuning/attentive_probing/k400/1B_ap_k710_ap_k400_f16': {
        'finetune': ('1B_ap_k710_f16_loadStage2.pth', '1B_ap_k710_ap_k400_f16.pth'),
    },
    'finetuning/attentive_probing/k710/6B_ap_k710_f16_loadStage2': {
        'finetune': ('6B_pt.pth', '1B_pt.pth'),
        'finetune_extra': ('6B_pt_stage2.pth', ''),
    },
    'finetuning/linear_probing/k400/6B_lp_k400_f16': {
        'model': ('internvideo2_6B_patch14_224', 'vit_6B_patch14_224'),
    },
    'finetuning/linear_probing/k400/6B_lp_k400_f16_loadStage2': {
        'model': ('internvideo2_6B_patch14_224', 'vit_6B_patch14_224'),
    },
}


def published_recipe(key: str) -> dict[str, Any]:
    """Arguments as intended, derived figures and GPUs of one published script."""
    table = json.loads(TABLE.read_text())
    name = key.removeprefix(PREFIX)
    recipe = table['recipes'][name]
    args = table['common'][recipe['entry']] | recipe['args']
    for field in ('finetune', 'finetune_extra'):
        if args.get(field):
            args[field] = Path(args[field]).name
    for field, (intended, written) in INTENTS.get(name, {}).items():
        assert args[field] == written, f'{name}: {field} is {args[field]}, not {written}'
        args[field] = intended
    return recipe | dict(args=args)


def by_type(transforms: list[dict], name: str) -> dict:
    """The one transform of a type, or an empty dict."""
    found = [transform for transform in transforms if transform['type'] == name]
    assert len(found) <= 1, f'{name} occurs {len(found)} times'
    return found[0] if found else {}


def optimisation_facts(cfg: Config) -> dict[str, Any]:
    """Batch, schedule and optimiser."""
    loader, optimizer = cfg.train_dataloader, cfg.optim_wrapper.optimizer
    clipping = cfg.optim_wrapper.get('clip_grad')
    return dict(
        batch_size=loader.batch_size,
        num_workers=loader.num_workers,
        num_sample=loader.dataset.get('num_repeats', 1),
        epochs=cfg.train_cfg.max_epochs,
        warmup_epochs=cfg.param_scheduler.warmup_epochs,
        warmup_lr=cfg.param_scheduler.warmup_lr,
        min_lr=cfg.param_scheduler.min_lr,
        lr=optimizer.lr,
        opt=optimizer.type.lower(),
        opt_betas=list(optimizer.betas),
        opt_eps=optimizer.eps,
        weight_decay=optimizer.weight_decay,
        layer_decay=cfg.optim_wrapper.paramwise_cfg.layer_decay_rate,
        clip_grad=clipping.max_norm if clipping else None,
        bf16=cfg.optim_wrapper.dtype == 'bfloat16',
        seed=cfg.randomness.seed,
        zero_stage=cfg.strategy.zero.stage,
    )


def augmentation_facts(cfg: Config) -> dict[str, Any]:
    """What happens to the clips of fine-tuning and probing."""
    augments = cfg.model.data_preprocessor.batch_augments
    erasing, mixing = by_type(augments, 'RandomErasing'), by_type(augments, 'MixupCutmix')
    pipeline = cfg.train_dataloader.dataset.pipeline
    return dict(
        aa=by_type(pipeline, 'RandAugment').get('policy'),
        input_size=by_type(pipeline, 'RandomResizedCrop').get('size'),
        reprob=erasing.get('prob', 0),
        remode=erasing.get('mode', 'pixel'),
        mixup=mixing.get('mixup_alpha', 0),
        cutmix=mixing.get('cutmix_alpha', 0),
        mixup_prob=mixing.get('prob', 1.0),
        mixup_switch_prob=mixing.get('switch_prob', 0.5),
        mixup_mode=mixing.get('mode', 'batch'),
        smoothing=mixing.get('smoothing', 0),
    )


def model_facts(cfg: Config) -> dict[str, Any]:
    """Encoder, head and where they start from."""
    backbone, head = cfg.model.backbone, cfg.model.head
    freeze = cfg.model.get('freeze') or {}
    return dict(
        model=MODEL_NAMES[head.type].format(backbone.arch),
        num_frames=backbone.num_frames,
        tubelet_size=backbone.get('tubelet_size', 1),
        drop_path=backbone.get('drop_path_rate', 0.0),
        layer_scale_init_value=backbone.get('init_values', 1e-5),
        sep_pos_embed=backbone.get('sep_pos_embed', False),
        use_checkpoint=backbone.get('use_checkpoint', False),
        checkpoint_num=backbone.get('checkpoint_num', 0),
        nb_classes=head.num_classes,
        fc_drop_rate=head.get('dropout', 0.0),
        init_scale=head.get('init_scale', 0.001),
        finetune=Path(cfg.model.init_cfg.checkpoint).name,
        finetune_extra=Path(cfg.model.init_cfg.get('extra', '')).name,
        open_block_num=freeze.get('open_blocks', 0),
        open_clip_projector=freeze.get('open_pooler', False),
    )


def evaluation_facts(cfg: Config) -> dict[str, Any]:
    """Views and sizes of the test."""
    test = cfg.test_dataloader.dataset
    return dict(
        short_side_size=by_type(test.pipeline, 'Resize')['short_side'],
        test_num_segment=test.sampling.get('num_views', 1),
        test_num_crop=by_type(test.pipeline, 'UniformCrops')['num_crops'],
    )


def config_facts(cfg: Config) -> dict[str, Any]:
    """All that the published table says about fine-tuning or probing."""
    facts = optimisation_facts(cfg) | augmentation_facts(cfg)
    return facts | model_facts(cfg) | evaluation_facts(cfg)


def derived_facts(cfg: Config) -> dict[str, Any]:
    """Batch and learning rates after the scaling rule, with the published number of GPUs."""
    total = cfg.train_dataloader.batch_size * cfg.num_gpus
    clips = total * cfg.train_dataloader.dataset.get('num_repeats', 1)
    factor = clips / cfg.lr_scaling.base_batch_size
    views = evaluation_facts(cfg)
    return dict(
        total_batch=total,
        samples_per_step=clips,
        peak_lr=cfg.optim_wrapper.optimizer.lr * factor,
        min_lr=cfg.param_scheduler.min_lr * factor,
        warmup_start_lr=cfg.param_scheduler.warmup_lr * factor,
        test_views=views['test_num_segment'] * views['test_num_crop'],
    )
