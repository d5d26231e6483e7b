"""What a resolved ViCLIP config says, in the dotted keys of the published table."""

import json
import re
from pathlib import Path
from typing import Any, NamedTuple

from mmengine.config import Config

from internvideo.checkpoint.adapters.viclip import WiseFT
from tests.configs.multi_modality_facts import full

TABLE = json.loads(Path(__file__).with_name('internvideo1_viclip.json').read_text())
PREFIX = 'internvideo1_pretrain/'
TESTED = 'run_our_230613_filtered_30p_10m_freeze_unmask_wiseft05'
"""Of the files that were tested zero-shot, the one that was released."""
CC15M = ['cc3m', 'cc12m']
MIXTURES = dict(
    our230522_10m_webvid_10m=['summarized_230522_resized_10m', 'webvid_10m'],
    our230415_cc15m=['our230415', *CC15M],
    our230522_10m_cc15m=['summarized_230522_resized_10m', *CC15M],
    our230522_cc15m=['summarized_230522_resized', *CC15M],
    our230604_cc15m=['summarized_230604_resized', *CC15M],
    simple_25m=['webvid_10m', 'cc3m', 'coco', 'vg', 'sbu', 'cc12m'],
)
"""Published corpora of several parts, which the table tells by name alone."""
SETS = dict(ssv1_act_val='sthsthv1_act_val', ssv2_act_val='sthsthv2_act_val')
NAMES = dict(large='vit_l14', base='vit_b16')

# Published keys that no config states, by the reason why.
UNSTATED = {
    'a path of the authors': r'pretrained_path',
    'a class of the parent code base, missing in the release': r'model\.model_cls',
    'a tokenizer of the parent code base that nothing uses': (
        r'model\.text_encoder\.pretrained|model\.requires_raw_text'
    ),
    'a loss that does not exist': r'criterion\.loss_weight\.cos',
    'off in every recipe': r'optimizer\.different_lr\.lr|deepspeed\.stage',
    'always pretraining, by the name of the program': r'mode',
    'folders of frames are seen from the path': r'inputs\.video_input\.video_reader_type',
}
# ... and those of training, which the tests repeat without using them.
OF_TRAINING = (
    r'train_corpus|optimizer\..*|scheduler\..*|batch_size|inputs\.batch_size\..*|deepspeed\..*|'
    r'inputs\.video_input\.(num_frames|sample_type|random_aug)|criterion\..*|'
    r'model\.vision_encoder\.(masking_prob|checkpoint_num|pretrained)|model\.freeze_text|fp16'
)


class Recipe(NamedTuple):
    """A published config as launched in one of its variants, with the GPUs and the batch of it."""

    values: dict[str, Any]
    gpus: int | None
    total_batch: int | None


def flat(tree: dict[str, Any], start: str = '') -> dict[str, Any]:
    """Leaves of a tree by dotted keys."""
    found: dict[str, Any] = {}
    for key, value in tree.items():
        below = isinstance(value, dict) and value
        found |= flat(value, f'{start}{key}.') if below else {f'{start}{key}': value}
    return found


def variant_of(name: str, unmasked: bool) -> str:
    """The variant that a leaf carries out."""
    if name.startswith('viclip_zs'):
        return TESTED
    known = ['run_freeze_unmask', 'run_unmask'] if unmasked else ['run_freeze', 'run']
    return next(variant for variant in known if variant in TABLE[name]['variants'])


def published_recipe(name: str, unmasked: bool = False) -> Recipe:
    """The recipe of that name."""
    entry = TABLE[name]
    variant = entry['variants'][variant_of(name, unmasked)]
    values, launch = flat(entry['config']), variant.get('launch', {})
    if name.startswith('viclip_zs'):
        common = TABLE['viclip_zero_shot_common']
        values = flat(common['config']) | values | flat(common['overrides'])
        launch = common['launch'] | launch
    values |= variant['overrides']
    if unmasked:  # the file of pretraining takes the place of CLIP's
        del values['model.vision_encoder.pretrained']
    for side in ('', '_test'):  # lists of both kinds of media refer to the one value
        for media in ('image', 'video'):
            values[f'inputs.batch_size{side}.{media}'] = values[f'batch_size{side}']
    gpus = launch['NNODE'] * launch['NUM_GPUS'] if launch else None
    return Recipe(values, gpus, variant.get('derived_total_batch'))


def unexplained(values: dict[str, Any], facts: dict[str, Any]) -> list[str]:
    """Published keys that ``facts`` lack and that no rule leaves out."""
    rules = [*UNSTATED.values(), *([OF_TRAINING] if values['evaluate'] else [])]
    return [
        key
        for key in values
        if key not in facts and not any(re.fullmatch(rule, key) for rule in rules)
    ]


def model_facts(cfg: Config) -> dict[str, Any]:
    """Both towers, the loss and what they start from."""
    model, vision, text = (
        full(part) for part in (cfg.model, cfg.model.vision_encoder, cfg.model.text_encoder)
    )
    width = dict(large=1024, base=768)[vision['arch']]
    vision_facts = dict(
        name=NAMES[vision['arch']],
        d_model=width,
        kernel_size=vision['tubelet_size'],
        center=cfg.model.init_cfg.get('inflation', 'center') == 'center',
        drop_path_rate=vision['drop_path_rate'],
        dropout=vision['dropout'],
        checkpoint_num=vision['checkpoint_num'],
        masking_prob=model['masking_prob'],
    )
    facts = {f'model.vision_encoder.{key}': value for key, value in vision_facts.items()}
    facts |= {f'model.{key}': model[key] for key in ('temp', 'temp_min', 'freeze_text')}
    tokens = cfg.model.data_preprocessor.tokenizer.max_length
    assert tokens == text['context_length']
    lengths = dict.fromkeys(('max_txt_l', 'inputs.max_txt_l.image', 'inputs.max_txt_l.video'))
    return (
        facts
        | dict.fromkeys(lengths, tokens)
        | {
            'model.text_encoder.name': {(768, 12): 'vit_l14', (512, 8): 'vit_b16'}[
                text['width'], text['heads']
            ],
            'model.text_encoder.d_model': text['width'],
            'model.text_encoder.vocab_size': text['vocab_size'],
            'model.text_encoder.checkpoint_num': text['checkpoint_num'],
            'model.embed_dim': vision['output_dim'],
            'criterion.loss_weight.vtc': 1.0,
        }
    )


def start_facts(cfg: Config) -> dict[str, Any]:
    """CLIP's file that training starts from, and the mean with it in tests."""
    init, arch = cfg.model.init_cfg, cfg.model.vision_encoder.arch
    wise = WiseFT.of(init.get('wise_ft'))
    file = Path(wise.checkpoint if wise else init.checkpoint).stem
    facts = {'wiseft.enable': wise is not None}
    if wise:
        facts |= {'wiseft.coef': wise.coef, 'wiseft.keys_to_exclude': list(wise.exclude)}
    if wise or init.adapter == 'clip':
        assert file == dict(large='ViT-L-14', base='ViT-B-16')[arch]
        facts['model.vision_encoder.pretrained'] = f'CLIP-{file[:5]}/{file[6:]}'
    return facts


def optimisation_facts(cfg: Config) -> dict[str, Any]:
    """Optimiser and schedule, in epochs of the whole corpus."""
    wrapper, schedule, optimizer = (
        cfg.optim_wrapper,
        cfg.param_scheduler,
        cfg.optim_wrapper.optimizer,
    )
    patterns = wrapper.get('paramwise_cfg', {}).get('patterns', [])
    share = cfg.train_dataloader.batch_sampler.get('share', 1.0)
    return {
        'optimizer.opt': dict(AdamW='adamW')[optimizer.type],
        'optimizer.lr': optimizer.lr,
        'optimizer.opt_betas': list(optimizer.betas),
        'optimizer.weight_decay': optimizer.weight_decay,
        'optimizer.max_grad_norm': wrapper.clip_grad.max_norm if wrapper.clip_grad else -1,
        'optimizer.different_lr.enable': bool(patterns),
        'optimizer.different_lr.module_names': patterns,
        'scheduler.sched': dict(LinearWarmupCosine='cosine')[schedule.type],
        'scheduler.epochs': cfg.train_cfg.max_epochs * share,
        'scheduler.warmup_epochs': schedule.warmup_epochs * share,
        'scheduler.min_lr_multi': schedule.min_lr_factor,
        'deepspeed.enable': 'zero' in cfg.strategy,
        'fp16': wrapper.type == 'AmpOptimWrapper',
    }


def training_facts(cfg: Config) -> dict[str, Any]:
    """Corpora, batches and frames of training."""
    loader = cfg.train_dataloader
    batch, mix = loader.batch_sampler.batch_size, list(loader.dataset.mix)
    mixed = [name for name, parts in MIXTURES.items() if parts == mix]
    return {
        'train_corpus': mixed[0] if mixed else mix[0],
        'batch_size': batch,
        'inputs.batch_size.image': batch,
        'inputs.batch_size.video': batch,
        'inputs.video_input.num_frames': loader.dataset.sampling.num_frames,
        'inputs.video_input.sample_type': loader.dataset.sampling.mode,
        'inputs.video_input.random_aug': 'RandAugment' in str(loader.dataset.pipeline),
    }


def test_facts(cfg: Config, part: str) -> dict[str, Any]:
    """Sets, batches and frames of ``'val'`` or ``'test'``."""
    loader = cfg[f'{part}_dataloader']
    return {
        'test_types': [SETS.get(name, name) for name in loader.dataset.sets],
        'batch_size_test': loader.batch_size,
        'inputs.batch_size_test.image': loader.batch_size,
        'inputs.batch_size_test.video': loader.batch_size,
        'inputs.image_res': loader.dataset.pipeline[0].size,
        'inputs.video_input.num_frames_test': loader.dataset.sampling.num_frames,
        'inputs.video_input.sample_type_test': loader.dataset.sampling.mode,
    }


def config_facts(cfg: Config) -> dict[str, Any]:
    """All that the published table says of a config."""
    trains = cfg.get('train_dataloader') is not None
    frames = cfg.model.vision_encoder.num_frames
    facts = model_facts(cfg) | start_facts(cfg) | test_facts(cfg, 'val' if trains else 'test')
    facts |= dict(evaluate=not trains, num_frames=frames, num_frames_test=frames)
    facts |= dict(seed=cfg.randomness.seed)
    if trains:
        return facts | training_facts(cfg) | optimisation_facts(cfg)
    return {key: value for key, value in facts.items() if not re.fullmatch(OF_TRAINING, key)}
