"""What a resolved multi-modality config says, in the dotted keys of the published table."""

import inspect
import json
import re
from pathlib import Path
from typing import Any, NamedTuple

from mmengine.config import Config

from internvideo.models.backbones.internvideo2 import InternVideo2
from internvideo.models.tasks.retrieval.objectives import AUDIO_OBJECTIVES, OBJECTIVES
from internvideo.models.text.bert import bert_config
from internvideo.models.text.llama import ARCHITECTURES as LLAMAS
from internvideo.registry import MODELS

TABLE = Path(__file__).with_name('internvideo2_multi_modality.json')
DATASETS = Path(__file__).with_name('internvideo2_multi_modality_datasets.json')
PREFIX = 'internvideo2_multi_modality/'
MASKS = dict(RandomMask='random', TubeMask='tube')
TASKS = dict(RetrievalSet='ret_test', ActionSet='act_val', ChoiceSet='mc_test')
MEDIA = ('image', 'video', 'audio', 'audio_video')
PATHS = ('pretrained_path', 'model.vision_ckpt_path', 'model.text_ckpt_path')
PATHS += ('model.vision_encoder.pretrained', 'model.audio_encoder.audio_model_path')
PATHS += ('model.text_encoder.llama_path', 'model.tokenizer_path')

# Published keys that no config states, by the reason why.
UNSTATED = {
    'no part of the recipe: paths, logging, the command line': (
        r'_MODEL_PATH|output_dir|size_t|stop_key|debug|log_freq|device|resume|auto_resume|'
        r'jump_evaluate'
    ),
    'blank, or repeats what the set says': (
        r'.*\.(anno_path|data_root)|is_paragraph_retrieval|trimmed30|train_file\..*'
    ),
    'kernels are chosen by the device': (
        r'.*use_(flash_attn|fused_rmsnorm|fused_mlp|flash_sdp|mem_efficient_sdp)|'
        r'.*fused_mlp_heuristic|compile_model'
    ),
    'how the published engine runs and saves': (
        r'model\.find_unused_parameters|delete_ds_optim_states|evaluation\.eval_offload|'
        r'save_latest|save_ckpt_iter|gradient_checkpointing'
    ),
    'off or without effect in every recipe': (
        r'optimizer\.different_lr\.lr|'
        r'model\.vision_encoder\.(head_drop_path_rate|drop_cls_token|keep_temporal)|deep_fusion|'
        r'inputs\.video_input\.random_aug|evaluation\.(eval_x_only|eval_frame_ensemble)|'
        r'inputs\.audio_input\.has_multi_audio_gt'
    ),
    'of objectives that every recipe switches off': (
        r'model\.vision_encoder\.(clip_teacher_return_interval|clip_input_resolution)|'
        r'criterion\.(distill_final_features|clip_loss_ratio|loss_weight\.mvm)'
    ),
    'what is built is compared instead': r'model\.text_encoder\.config|mode|zero_shot',
    'a slip of the pen': r'pretrained_path\.your_model_path.*',
    'audio is read through PyAV': r'inputs\.audio_input\.audio_reader_type',
}
# ... and those of training, which evaluation recipes repeat without using them.
OF_TRAINING = (
    r'optimizer\..*|scheduler\..*|batch_size|inputs\.batch_size\..*|train_file.*|best_key|'
    r'deepspeed\..*|save_iter|inputs\.video_input\.(sample_type|num_frames)|'
    r'model\.vision_encoder\.(use_checkpoint|checkpoint_num|pretrained)|'
    r'model\.audio_encoder\.audio_model_path|inputs\.audio_input\..*'
)
# CLIP models bring tokenizers of their own length.
OF_STAGE2 = r'max_txt_l|inputs\.max_txt_l\..*'
# Models without an audio objective build no audio encoder, as in the published code.
OF_AUDIO = r'model\.audio_encoder\..*|model\.freeze_audio|inputs\.audio_input\..*'
AUDIO = tuple(f'criterion.loss_weight.{name}' for name in AUDIO_OBJECTIVES)
# What is launched on a file of the wrong model.
_6B = {'pretrained_path': ('6B_stage2.pth', '1B_stage2_pt.pth')}


def published_sets() -> dict[str, dict[str, Any]]:
    """The published table of corpora, evaluation sets and mixtures."""
    return json.loads(DATASETS.read_text())['datasets']


# Where a script contradicts its own name the name is the intent: its value, and the script's.
INTENTS: dict[str, dict[str, tuple[Any, Any]]] = {
    # The script names the example mixture of the 1B model, without audio.
    'pretraining/stage2/6B/config': {
        'train_file': (
            [published_sets()[name] for name in ('cc3m', 'webvid', 'internvid_v2_avs_private')],
            [dict(media_type='image'), dict(media_type='video')],
        ),
    },
    'finetuning/stage2/6B/didemo/config': _6B,
    'finetuning/stage2/6B/msrvtt/config': _6B,
    'evaluation/stage2/zero_shot/6B/config_didemo': _6B,
    # These are to be launched by hand.
    'demo/internvideo2_stage2_config': {'pretrained_path': ('1B_stage2_pt.pth', '')},
    'evaluation/clip/zero_shot/1B/config_didemo': {
        'pretrained_path': ('InternVideo2_CLIP_1B.pth', ''),
    },
    'evaluation/clip/zero_shot/6B/config_didemo': {
        'pretrained_path': ('InternVideo2_CLIP_6B.pth', ''),
    },
}


class Recipe(NamedTuple):
    """A published config: dotted values as intended and launched; GPUs, if a script says so."""

    values: dict[str, Any]
    gpus: int | None


def published_recipe(key: str) -> Recipe:
    """The recipe of that key."""
    table = json.loads(TABLE.read_text())
    name = key.removeprefix(PREFIX)
    recipe = table['recipes'][name]
    values = table['common'][recipe['family']] | recipe['values']
    for launch in recipe['launch']:
        written = [{'True': True}.get(word, word) for word in launch['overrides']]
        values |= dict(zip(written[::2], written[1::2], strict=True))
    values['train_file'] = _train_files(values)
    for field in PATHS:
        if values.get(field):
            values[field] = Path(values[field]).name
    for field, (intended, written) in INTENTS.get(name, {}).items():
        assert values[field] == written, f'{name}: {field} is {values[field]}, not {written}'
        values[field] = intended
    gpus = [launch['nnode'] * launch['num_gpus'] for launch in recipe['launch']]
    return Recipe(values, gpus[0] if gpus else None)


def _train_files(values: dict[str, Any]) -> list[dict[str, Any]]:
    """The corpora's flags, whether the recipe names one corpus or a list."""
    listed = values.get('train_file')
    if listed is None:
        own = {
            key.partition('.')[2]: value for key, value in values.items() if 'train_file.' in key
        }
        listed = [own]
    return [
        {k: v for k, v in entry.items() if k not in ('anno_path', 'data_root')} for entry in listed
    ]


def unexplained(values: dict[str, Any], facts: dict[str, Any]) -> list[str]:
    """Published keys that ``facts`` lack and that no rule leaves out."""
    rules = [*UNSTATED.values()]
    rules += [OF_TRAINING] if values['evaluate'] else []
    rules += [OF_STAGE2] if 'CLIP' in values['model.model_cls'] else []
    rules += [OF_AUDIO] if not any(values.get(name) for name in AUDIO) else []
    return [
        key
        for key in values
        if key not in facts and not any(re.fullmatch(rule, key) for rule in rules)
    ]


def full(part: dict[str, Any]) -> dict[str, Any]:
    """A part's config with the defaults of its class."""
    parameters = inspect.signature(MODELS.get(part['type'])).parameters.values()
    defaults = {p.name: p.default for p in parameters if p.default is not p.empty}
    return defaults | dict(part)


def file_name(path: str | None) -> str:
    """Last part of a path; empty without one."""
    return Path(path).name if path else ''


def encoder_facts(cfg: Config) -> dict[str, Any]:
    """The vision encoder."""
    encoder = full(cfg.model.vision_encoder)
    same = ('img_size', 'patch_size', 'tubelet_size', 'num_frames', 'clip_embed_dim', 'qkv_bias')
    same += ('attn_pool_num_heads', 'init_values', 'qk_normalization', 'sep_pos_embed')
    same += ('drop_path_rate', 'use_checkpoint')
    width = InternVideo2.resolve_arch(encoder['arch'])
    facts = {name: encoder[name] for name in same} | width
    facts |= dict(
        d_model=width['embed_dim'],
        in_chans=encoder['in_channels'],
        checkpoint_num=encoder['checkpoint_num'] or 0,
        layerscale_no_force_fp32=not encoder['layerscale_force_fp32'],
        sep_image_video_pos_embed=encoder['image_pos_embed'] == 'separate',
    )
    return facts


def stage2_vision_facts(cfg: Config) -> dict[str, Any]:
    """Trunk, decoders and masks of stage 2."""
    model, neck = cfg.model, full(cfg.model.neck)
    maskers = dict(video=model.video_masker, image=model.image_masker)
    facts = encoder_facts(cfg) | dict(
        name=f'pretrain_internvideo2_{model.vision_encoder.arch.lower()}_patch14_224',
        pretrained=file_name(model.init_cfg.checkpoint),
        clip_teacher=model.get('targets'),
        clip_teacher_embed_dim=neck['clip_dim'],
        clip_teacher_final_dim=neck['clip_final_dim'],
        clip_norm_type=neck['clip_norm'],
        clip_return_layer=model.clip_layers.count,
        clip_student_return_interval=model.clip_layers.interval,
        only_mask=model.get('targets') is None,
    )
    for modality, masker in maskers.items():
        facts[f'{modality}_mask_type'] = MASKS[masker.type]
        facts[f'{modality}_mask_ratio'] = masker.ratio
    return {f'model.vision_encoder.{name}': value for name, value in facts.items()}


def stage2_text_facts(cfg: Config) -> dict[str, Any]:
    """BERT and its tokenizer."""
    arch = cfg.model.text_encoder.arch
    bert, tokenizer = bert_config(arch), cfg.model.data_preprocessor.tokenizer
    facts = dict(
        name=f'bert_{arch}',
        pretrained=file_name(tokenizer.source),
        d_model=bert.hidden_size,
        fusion_layer=bert.fusion_layer,
    )
    facts = {f'model.text_encoder.{name}': value for name, value in facts.items()}
    facts['model.multimodal.enable'] = bert.fusion_layer < bert.num_hidden_layers
    lengths = {f'inputs.max_txt_l.{modality}': tokenizer.max_length for modality in MEDIA}
    return facts | lengths | dict(max_txt_l=tokenizer.max_length)


def stage2_audio_facts(cfg: Config) -> dict[str, Any]:
    """BEATs, where it is built."""
    audio = cfg.model.get('audio_encoder')
    if audio is None:
        return {}
    return {
        'model.audio_encoder.name': audio.type.lower(),
        'model.audio_encoder.d_model': full(audio)['encoder_embed_dim'],
        'model.audio_encoder.audio_model_path': file_name((audio.init_cfg or {}).get('checkpoint')),
        'model.freeze_audio': 'audio' in cfg.model['freeze'],
    }


def stage2_loss_facts(cfg: Config) -> dict[str, Any]:
    """Objectives of stage 2."""
    model = cfg.model
    facts = {f'loss_weight.{name}': model.loss_weights.get(name, 0.0) for name in OBJECTIVES}
    captions = model.get('loss_captions', {})
    facts |= {f'loss_caption.{name}': kind for name, kind in captions.items()}
    facts |= dict(
        vtm_hard_neg=model.hard_negatives,
        mlm_masking_prob=model.masking.probability,
        uta_image_only=model.get('uta_image_only', False),
    )
    return {f'criterion.{name}': value for name, value in facts.items()}


def stage2_facts(cfg: Config) -> dict[str, Any]:
    """A stage-2 model and the file it starts from."""
    model = cfg.model
    has_audio = model.get('av_concat_dim') is not None
    facts = {
        'model.model_cls': 'InternVideo2_Stage2' + ('_audiovisual' if has_audio else ''),
        'model.contra_dim' if has_audio else 'model.embed_dim': model.embed_dim,
        'model.av_concat_dim': model.get('av_concat_dim'),
        'model.temp': model.temp,
        'model.freeze_vision': 'vision' in model.get('freeze', ()),
        'pretrained_path': file_name(model.init_cfg.checkpoint),
        'origin_num_frames': model.init_cfg.orig_t_size,
    }
    if model.init_cfg.kind == 'stage1':
        facts['pretrained_path'] = ''
    facts |= stage2_vision_facts(cfg) | stage2_text_facts(cfg) | stage2_loss_facts(cfg)
    return facts | stage2_audio_facts(cfg)


def clip_facts(cfg: Config) -> dict[str, Any]:
    """A CLIP model and the files it starts from."""
    model, init, text = full(cfg.model), cfg.model.init_cfg, cfg.model.text_encoder
    same = ('temp', 'temp_min', 'freeze_vision', 'open_vision_clip_projector', 'freeze_text')
    same += ('open_text_projection', 'open_text_lora')
    facts = {f'model.{name}': model[name] for name in same}
    encoder = encoder_facts(cfg) | dict(align_dim=model['align_dim'])
    is_large = text.type == 'LlamaText'
    encoder['name'] = 'internvideo2_6B' if cfg.model.vision_encoder.arch == '6B' else 'internvideo2'
    facts |= {f'model.vision_encoder.{name}': value for name, value in encoder.items()}
    facts |= {
        'model.model_cls': 'InternVideo2_CLIP' + ('' if is_large else '_small'),
        'model.vision_ckpt_path': file_name(init.checkpoint),
        'model.text_ckpt_path': file_name(init.text),
        'model.load_vision_ckpt_from_internvideo2_stage2': init.kind == 'stage2',
        'pretrained_path': file_name(init.get('extra')),
        'criterion.loss_weight.vtc': 1.0,
    }
    if not is_large:
        return facts | {'model.text_encoder.name': {'MobileCLIPText': 'mobileclip_b'}[text.type]}
    folder = file_name(cfg.model.data_preprocessor.tokenizer.source)
    return facts | {
        'model.text_encoder.transformer_width': LLAMAS[text.arch]['hidden_size'],
        'model.text_encoder.use_lora': text.lora is not None,
        'model.text_encoder.llama_path': folder,
        'model.tokenizer_path': folder,
    }


def optimisation_facts(cfg: Config) -> dict[str, Any]:
    """Optimiser, schedule and how the run is spread and saved."""
    wrapper, schedule = cfg.optim_wrapper, cfg.param_scheduler
    patterns = wrapper.get('paramwise_cfg', {}).get('patterns', [])
    facts = dict(
        opt={'AdamW': 'adamW'}[wrapper.optimizer.type],
        lr=wrapper.optimizer.lr,
        opt_betas=list(wrapper.optimizer.betas),
        weight_decay=wrapper.optimizer.weight_decay,
        max_grad_norm=wrapper.clip_grad.max_norm if wrapper.clip_grad else -1,
    )
    facts |= {'different_lr.enable': bool(patterns), 'different_lr.module_names': patterns}
    facts = {f'optimizer.{name}': value for name, value in facts.items()}
    best = cfg.default_hooks.checkpoint.save_best
    return facts | {
        'scheduler.sched': {'LinearWarmupCosine': 'cosine'}[schedule.type],
        'scheduler.epochs': cfg.train_cfg.max_epochs,
        'scheduler.min_lr_multi': schedule.min_lr_factor,
        'scheduler.warmup_epochs': schedule.warmup_epochs,
        'deepspeed.enable': True,
        'deepspeed.stage': cfg.strategy.zero.stage,
        'best_key': best.split('/'),
        'save_iter': cfg.default_hooks.checkpoint.get('interval_iters', 0),
        'use_half_precision': wrapper.type == 'AmpOptimWrapper',
        'use_bf16': wrapper.get('dtype') == 'bfloat16',
    }


def set_flags(entry: dict[str, Any]) -> dict[str, Any]:
    """A corpus or evaluation set of our tables in the words of the published one."""
    names = dict(
        media_type='media_type',
        max_text_length='max_txt_l',
        paragraph='is_paragraph_retrieval',
        multi_text='has_multi_txt_gt',
        clip_from_video='read_clip_from_video',
        audio_from_video='read_audio_from_video',
        pad_missing_audio='zero_audio_padding_for_video',
    )
    flags = {theirs: entry[ours] for ours, theirs in names.items() if ours in entry}
    if 'filter_captions' in entry:
        flags['jump_filter'] = not entry['filter_captions']
    if 'trimmed_seconds' in entry:
        flags['trimmed30'] = entry['trimmed_seconds'] == 30
    if 'caption_choice' in entry:
        flags['caption_augmentation'] = dict(caption_sample_type=entry['caption_choice'])
    if entry.get('type') == 'ActionSet':
        flags['is_act_rec'] = True
    return flags


def training_facts(cfg: Config) -> dict[str, Any]:
    """Corpora, batches and frames of training."""
    loader = cfg.train_dataloader
    batch = loader.batch_sampler.batch_size
    facts = {f'inputs.batch_size.{modality}': batch for modality in MEDIA}
    table = loader.dataset.table
    return facts | {
        'batch_size': batch,
        'inputs.audio_input.audio_sample_rate': loader.dataset.audio.sample_rate,
        'inputs.audio_input.max_audio_length': loader.dataset.audio.max_seconds,
        'train_file': [set_flags(table[name]) for name in loader.dataset.mix],
        'inputs.video_input.num_frames': loader.dataset.sampling.num_frames,
        'inputs.video_input.sample_type': loader.dataset.sampling.mode,
    }


def evaluation_facts(cfg: Config, part: str) -> dict[str, Any]:
    """Sets, batches, frames and protocol of ``'val'`` or ``'test'``."""
    loader, loop = cfg[f'{part}_dataloader'], cfg[f'{part}_cfg']
    retrieval = next(m for m in cfg[f'{part}_evaluator'] if m.type == 'RetrievalMetric')
    table, names = loader.dataset.table, list(loader.dataset.sets)
    if cfg.model.type == 'InternVideo2CLIP':  # these name the one set by its task
        names = [TASKS[table[name].type] for name in names]
    flags = [set_flags(table[name]) for name in loader.dataset.sets]
    facts = {
        f'test_file.{n}.{k}': v for n, f in zip(names, flags, strict=True) for k, v in f.items()
    }
    facts |= {f'inputs.batch_size_test.{modality}': loader.batch_size for modality in MEDIA}
    return facts | {
        'test_types': names,
        'batch_size_test': loader.batch_size,
        'num_workers': loader.num_workers,
        'inputs.image_res': loader.dataset.pipeline[0].size,
        'inputs.video_input.num_frames_test': loader.dataset.sampling.num_frames,
        'inputs.video_input.sample_type_test': loader.dataset.sampling.mode,
        'evaluation.k_test': retrieval.k_test,
        'use_half_precision': loop.amp_dtype is not None,
        'use_bf16': loop.amp_dtype == 'bfloat16',
    }


def config_facts(cfg: Config) -> dict[str, Any]:
    """All that the published table says of a config."""
    facts = stage2_facts(cfg) if 'Stage2' in cfg.model.type else clip_facts(cfg)
    trains = cfg.get('train_dataloader') is not None
    facts |= evaluation_facts(cfg, 'val' if trains else 'test') | dict(evaluate=not trains)
    frames = cfg.model.vision_encoder.num_frames
    facts |= {'num_frames': frames, 'num_frames_test': frames, 'seed': cfg.randomness.seed}
    if not trains:
        return {k: v for k, v in facts.items() if not re.fullmatch(OF_TRAINING, k)}
    return facts | training_facts(cfg) | optimisation_facts(cfg)
