"""What a resolved UniFormerV2 config says, in the words of the published settings."""

import functools
import inspect
import json
from pathlib import Path
from typing import Any

from mmengine.config import Config

from internvideo.registry import MODELS
from tests.configs.recipe_facts import by_type

TABLE = Path(__file__).with_name('internvideo1_uniformerv2.json')
PREFIX = 'internvideo1_pretrain/uniformerv2_'
GPUS_PER_NODE = 8

FOLDERS = dict(sthv1='ssv1_frame', sthv2='ssv2_frame')
"""Folders of data sets that have another name here."""

WITHOUT_MEANING = {
    'of another program': (
        *('TRAIN.ENABLE', 'TRAIN.AUTO_RESUME', 'TRAIN.CHECKPOINT_FILE_PATH', 'TEST.ENABLE'),
        *('TRAIN.CHECKPOINT_TYPE', 'TRAIN.CHECKPOINT_INFLATE', 'TRAIN.CHECKPOINT_EPOCH_RESET'),
        *('TRAIN.CHECKPOINT_CLEAR_NAME_PATTERN', 'TRAIN.SAVE_LATEST', 'TEST.INTERVAL'),
        *('TEST.CHECKPOINT_FILE_PATH', 'TEST.CHECKPOINT_TYPE', 'TEST.SAVE_RESULTS_PATH'),
        *('DATA.DECODING_BACKEND', 'DATA.PATH_TO_PRELOAD_IMDB', 'DATA_LOADER.PIN_MEMORY'),
        *('DATA_LOADER.ENABLE_MULTI_THREAD_DECODE', 'MODEL.ARCH', 'MODEL.MODEL_NAME'),
        *('MODEL.SINGLE_PATHWAY_ARCH', 'MODEL.MULTI_PATHWAY_ARCH', 'DATA.INPUT_CHANNEL_NUM'),
        *('DATA.EXTRA_PATH_TO_DATA_DIR', 'DATA.PATH_TO_DATA_DIR_LIST', 'DATA.PATH_PREFIX_LIST'),
        'DATA.REVERSE_INPUT_CHANNEL',
    ),
    'longer than the run: the newest and the best checkpoint are kept': (
        'TRAIN.CHECKPOINT_PERIOD',
    ),
    'of other kinds of sampling, augmentation, head or loss': (
        *('DATA.SAMPLING_RATE', 'DATA.TARGET_FPS', 'DATA.USE_OFFSET_SAMPLING'),
        *('DATA.TRAIN_JITTER_SCALES', 'DATA.TRAIN_JITTER_MOTION_SHIFT', 'DATA.INV_UNIFORM_SAMPLE'),
        *('DATA.TRAIN_PCA_EIGVAL', 'DATA.TRAIN_PCA_EIGVEC', 'AUG.COLOR_JITTER'),
        *('AUG.RE_MODE', 'AUG.RE_COUNT', 'AUG.RE_SPLIT', 'MIXUP.ALPHA', 'MIXUP.CUTMIX_ALPHA'),
        *('MIXUP.PROB', 'MIXUP.SWITCH_PROB', 'MIXUP.LABEL_SMOOTH_VALUE', 'MODEL.EMA_DECAY'),
        *('MODEL.DROPOUT_RATE', 'MODEL.DROPCONNECT_RATE', 'MODEL.FC_INIT_STD', 'MODEL.HEAD_ACT'),
        *('MODEL.NUM_CLASSES_LIST', 'DATA.MULTI_LABEL'),
    ),
    'of other optimisers and schedules, or of code that is never imported': (
        *('SOLVER.GAMMA', 'SOLVER.STEP_SIZE', 'SOLVER.STEPS', 'SOLVER.LRS', 'SOLVER.MOMENTUM'),
        *('SOLVER.DAMPENING', 'SOLVER.NESTEROV', 'SOLVER.WARMUP_FACTOR'),
        *('SOLVER.BACKBONE_LR_RATIO', 'SOLVER.SPECIAL_LIST', 'SOLVER.SPECIAL_RATIO'),
    ),
    'statistics are never estimated anew': (
        *('BN.USE_PRECISE_STATS', 'BN.NUM_BATCHES_PRECISE', 'BN.NUM_SPLITS', 'BN.NORM_TYPE'),
    ),
    'nothing reads it': ('DATA.MC',),
    'always so here: bicubic RandAugment, soft-max of each view, whose mean ranks as their sum': (
        *('AUG.INTERPOLATION', 'TEST.ADD_SOFTMAX', 'DATA.ENSEMBLE_METHOD'),
    ),
    'not registered, or the training loader under another name': ('TEST.DATASET',),
    'below, of Something-Something only': ('DATA.LABEL_PATH_TEMPLATE', 'DATA.IMAGE_TEMPLATE'),
    'part of the list that a data root holds': ('DATA.PATH_PREFIX',),
}
"""Settings that no config here says, by the reason."""


@functools.cache
def table() -> dict[str, Any]:
    """Defaults, settings of every recipe, derived figures and data facts."""
    return json.loads(TABLE.read_text())


def published(key: str) -> dict[str, Any]:
    """Settings of a recipe over the defaults."""
    return table()['defaults'] | table()['recipes'][key.removeprefix(PREFIX)]['settings']


def resolved_backbone(cfg: Config) -> dict[str, Any]:
    """Arguments of the encoder with the class's own defaults, and its architecture."""
    kind = MODELS.get(cfg.model.backbone.type)
    parameters = inspect.signature(kind).parameters.values()
    defaults = {p.name: p.default for p in parameters if p.default is not p.empty}
    given = defaults | dict(cfg.model.backbone)
    return given | kind.ARCHITECTURES[given['arch']]


def model_facts(cfg: Config) -> dict[str, Any]:
    """Encoder, head and start."""
    model, backbone = cfg.model, resolved_backbone(cfg)
    init, from_clip = model.init_cfg, model.init_cfg.adapter == 'clip'
    size = f'{backbone["arch"][0]}{backbone["patch_size"]}'
    suffix = '_336' if backbone['img_size'] == 336 else ''
    count, rate = len(backbone['global_layers']), backbone['mlp_dropout']
    recomputed = backbone['checkpoint_num']
    return {
        'UNIFORMERV2.BACKBONE': f'uniformerv2_{size}{suffix}',
        'UNIFORMERV2.N_LAYERS': count,
        'UNIFORMERV2.N_DIM': backbone['embed_dim'],
        'UNIFORMERV2.N_HEAD': backbone['num_heads'],
        'UNIFORMERV2.MLP_FACTOR': backbone['mlp_factor'],
        'UNIFORMERV2.BACKBONE_DROP_PATH_RATE': backbone['backbone_drop_path_rate'],
        'UNIFORMERV2.DROP_PATH_RATE': backbone['drop_path_rate'],
        'UNIFORMERV2.MLP_DROPOUT': [rate] * count,
        'UNIFORMERV2.CLS_DROPOUT': model.head.dropout,
        'UNIFORMERV2.RETURN_LIST': list(backbone['global_layers']),
        'UNIFORMERV2.DW_REDUCTION': backbone['dw_reduction'],
        'UNIFORMERV2.TEMPORAL_DOWNSAMPLE': backbone['temporal_downsample'],
        'UNIFORMERV2.NO_LMHRA': backbone['no_lmhra'],
        'UNIFORMERV2.DOUBLE_LMHRA': backbone['double_lmhra'],
        'UNIFORMERV2.PRETRAIN': '' if from_clip else Path(init.checkpoint).name,
        'UNIFORMERV2.DELETE_SPECIAL_HEAD': init.get('delete_special_head', False),
        'UNIFORMERV2.FROZEN': not backbone['balance'] and bool(model.get('freeze')),
        'BN.NUM_SYNC_DEVICES': 8 if backbone['sync_batch_norm'] else 1,
        'MODEL.NUM_CLASSES': model.head.num_classes,
        'MODEL.LOSS_FUNC': 'cross_entropy' if 'loss' not in model.head else model.head.loss.type,
        'MODEL.USE_CHECKPOINT': recomputed > 0,
        'MODEL.CHECKPOINT_NUM': [recomputed],
        'MODEL.EMA_EPOCH': 0 if 'EMAHook' in str(cfg.get('custom_hooks')) else -1,
    }


def data_facts(cfg: Config) -> dict[str, Any]:
    """Lists, frames, pixels and augmentation."""
    train, test = cfg.train_dataloader.dataset, cfg.test_dataloader.dataset
    crop = by_type(train.pipeline, 'RandomResizedCrop')
    randaugment = by_type(train.pipeline, 'RandAugment')
    pixels = cfg.model.data_preprocessor
    augments = pixels.get('batch_augments', [])
    return {
        'TRAIN.DATASET': 'sth' if train.backend == 'frames' else 'kinetics_sparse',
        'DATA.PATH_TO_DATA_DIR': Path(train.ann_file).parent.name,
        'DATA.PATH_LABEL_SEPARATOR': train.delimiter,
        'DATA.NUM_FRAMES': cfg.model.backbone.num_frames,
        'DATA.MEAN': [value / 255 for value in pixels.mean],
        'DATA.STD': [value / 255 for value in pixels.std],
        'DATA.TRAIN_JITTER_SCALES_RELATIVE': list(crop.scale),
        'DATA.TRAIN_JITTER_ASPECT_RELATIVE': list(crop.ratio),
        'DATA.TRAIN_CROP_SIZE': crop.size,
        'DATA.TEST_CROP_SIZE': by_type(test.pipeline, 'UniformCrops').size,
        'DATA.RANDOM_FLIP': by_type(train.pipeline, 'RandomFlip').get('prob') == 0.5,
        'AUG.ENABLE': bool(randaugment),
        'AUG.AA_TYPE': randaugment.policy,
        'AUG.NUM_SAMPLE': train.num_repeats,
        'AUG.RE_PROB': by_type(augments, 'RandomErasing').get('prob', 0.0),
        'MIXUP.ENABLE': bool(by_type(augments, 'MixupCutmix')),
    }


def run_facts(cfg: Config) -> dict[str, Any]:
    """Batches, optimiser, schedule and views."""
    wrapper, schedule = cfg.optim_wrapper, cfg.param_scheduler
    test = cfg.test_dataloader.dataset
    spared = wrapper.paramwise_cfg.no_weight_decay
    return {
        'TRAIN.BATCH_SIZE': cfg.train_dataloader.batch_size * GPUS_PER_NODE,
        'TRAIN.EVAL_PERIOD': cfg.train_cfg.val_interval,
        'TEST.BATCH_SIZE': cfg.val_dataloader.batch_size * GPUS_PER_NODE,
        'TEST.NUM_ENSEMBLE_VIEWS': test.sampling.num_views,
        'TEST.NUM_SPATIAL_CROPS': by_type(test.pipeline, 'UniformCrops').num_crops,
        'TEST.TEST_BEST': cfg.default_hooks.checkpoint.save_best == 'acc/top1',
        'NUM_GPUS': GPUS_PER_NODE,
        'NUM_SHARDS': cfg.num_gpus // GPUS_PER_NODE,
        'DATA_LOADER.NUM_WORKERS': cfg.train_dataloader.num_workers,
        'RNG_SEED': cfg.randomness.seed,
        'SOLVER.BASE_LR': wrapper.optimizer.lr,
        'SOLVER.WEIGHT_DECAY': wrapper.optimizer.weight_decay,
        # Vectors take no decay whatever the names, and BatchNorm has nothing else.
        'SOLVER.ZERO_WD_1D_PARAM': spared == [],
        'BN.WEIGHT_DECAY': 0.0,
        'SOLVER.OPTIMIZING_METHOD': wrapper.optimizer.type.lower(),
        'SOLVER.CLIP_GRADIENT': wrapper.clip_grad.max_norm,
        'SOLVER.BASE_LR_SCALE_NUM_SHARDS': bool(cfg.lr_scaling),
        'SOLVER.LR_POLICY': dict(EpochCosine='cosine')[schedule.type],
        'SOLVER.COSINE_END_LR': schedule.min_lr,
        'SOLVER.COSINE_AFTER_WARMUP': schedule.cosine_after_warmup,
        'SOLVER.WARMUP_EPOCHS': schedule.warmup_epochs,
        'SOLVER.WARMUP_START_LR': schedule.warmup_lr,
        'SOLVER.MAX_EPOCH': cfg.train_cfg.max_epochs,
    }


def config_facts(cfg: Config) -> dict[str, Any]:
    """All published settings that have a meaning here."""
    return model_facts(cfg) | data_facts(cfg) | run_facts(cfg)


def derived_facts(cfg: Config) -> dict[str, Any]:
    """Batches, final rate and views."""
    per_gpu, facts = cfg.train_dataloader.batch_size, run_facts(cfg)
    views = facts['TEST.NUM_ENSEMBLE_VIEWS'], facts['TEST.NUM_SPATIAL_CROPS']
    return dict(
        batch_size_per_node=per_gpu * GPUS_PER_NODE,
        batch_per_gpu=per_gpu,
        nodes=cfg.num_gpus // GPUS_PER_NODE,
        total_batch=per_gpu * cfg.num_gpus,
        peak_lr=cfg.optim_wrapper.optimizer.lr,
        test_views='{} clips x {} crops'.format(*views),
    )
