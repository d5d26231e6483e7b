"""Checkpoints of the published multi-modality InternVideo2 models, and back.

Stage-2 files keep the decoders of the masked alignment inside the vision tower, repeat shared
tensors under several names, and may hold the teacher::

    vision_encoder.{clip_decoder,final_clip_decoder,clip_pos_embed,...}  ->  neck.*
    text_encoder.cls.predictions.decoder.*                                   left out (shared)
    audio_encoder...layers.i.self_attn.relative_attention_bias, i > 0        left out (shared)
    clip_teacher.*                                                           left out

CLIP files differ by LoRA alone: peft calls a wrapped weight ``q_proj.base_layer.weight``.
"""

import os
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from torch import Tensor, nn

from internvideo.checkpoint.files import read_state_dict
from internvideo.checkpoint.report import (
    CheckpointMismatchError,
    LoadReport,
    Shapes,
    abbreviate,
)
from internvideo.checkpoint.tensor_conversion import State
from internvideo.registry import CHECKPOINT_ADAPTERS

from .base import CheckpointAdapter, NameTable, renamed
from .internvideo2_names import ENCODER_PARTS, STAGE2_PREFIX
from .position_tables import resize_tables
from .transformer_hints import transformer_hints

KINDS = ('released', 'stage1', 'stage2')
TEXT_PREFIX = 'text_encoder.'
NECK_PARTS = ('clip_decoder.', 'final_clip_decoder.', 'clip_pos_embed', 'clip_img_pos_embed')
MAE_PARTS = ('mae_decoder.', 'mae_pos_embed')
CLASSIFIER_PARTS = ('head.', 'fc_norm.')
AUDIO_PARTS = (
    'audio_encoder.',
    'audio_proj.',
    'av_concat_audio_proj.',
    'av_fusion.',
    'atm_head.',
    'avtm_head.',
)
STAGE2_ONLY = ('clip_decoder', 'clip_pos_embed', 'img_pos_embed')
LANGUAGE_DECODER = re.compile(r'(?:^|\.)cls\.predictions\.decoder\.(weight|bias)$')
BERT_LAYER = re.compile(r'(?:bert\.)?encoder\.layer\.\d+\.')
SHARED_BIAS = re.compile(
    r'(?P<head>.*encoder\.layers\.)(?P<layer>[1-9]\d*)(?P<tail>\.self_attn\.'
    r'relative_attention_bias\.weight)$'
)
# Computed by models; files of older versions of transformers hold it all the same.
ROTARY = 'rotary_emb.inv_freq'
LORA = '.lora_'
BASE_LAYER = '.base_layer.'


def is_repeated(name: str) -> bool:
    """Whether a published entry only repeats another one that the file holds as well."""
    return bool(LANGUAGE_DECODER.search(name) or SHARED_BIAS.match(name))


def with_repeats(state: Mapping[str, Tensor]) -> State:
    """``state`` with the repeated entries that published files hold."""
    repeated = dict(state)
    for name, tensor in state.items():
        if name.endswith('cls.predictions.bias'):
            stem = name.removesuffix('cls.predictions.bias')
            table = f'{stem}bert.embeddings.word_embeddings.weight'
            if table in state:
                repeated[f'{stem}cls.predictions.decoder.weight'] = state[table]
            repeated[f'{stem}cls.predictions.decoder.bias'] = tensor
        elif name.endswith('layers.0.self_attn.relative_attention_bias.weight'):
            for other in _bias_names(name, state):
                repeated[other] = tensor
    return repeated


def _bias_names(first: str, state: Iterable[str]) -> list[str]:
    head, tail = first.split('0.self_attn.relative_attention_bias.weight')[0], '.self_attn.'
    layers = {name.removeprefix(head).partition('.')[0] for name in state if name.startswith(head)}
    return [f'{head}{i}{tail}relative_attention_bias.weight' for i in sorted(layers - {'0'})]


def base_layer_name(published: str, own: Collection[str]) -> str:
    """Our name of a published parameter: peft keeps a wrapped weight under ``base_layer``."""
    if published in own:
        return published
    stem, _, leaf = published.rpartition('.')
    wrapped = f'{stem}{BASE_LAYER}{leaf}'
    return wrapped if wrapped in own else published


def published_layer_name(name: str) -> str:
    """Inverse of :func:`base_layer_name`."""
    return name.replace(BASE_LAYER, '.')


def plain_text_name(published: str) -> str:
    """Name of a pretraining file's entry in a build without masked-language head."""
    return published.replace(f'{TEXT_PREFIX}bert.', TEXT_PREFIX, 1)


def language_text_name(published: str) -> str:
    """Name of a fine-tuned file's entry in a build with masked-language head."""
    inner = published.removeprefix(TEXT_PREFIX)
    if inner == published or inner.startswith(('bert.', 'cls.')):
        return published
    return f'{TEXT_PREFIX}bert.{inner}'


def clip_vision_names(names: Iterable[str], kind: str) -> dict[str, str]:
    """Name in the CLIP model -> name in the file, of a vision tower.

    Args:
        names: entries of the file.
        kind: ``'stage1'``: pretraining, or fine-tuned; ``'stage2'``: only ``vision_encoder.*``.
    """
    if kind == 'stage1':
        dropped = (*NECK_PARTS[:3], *MAE_PARTS)
        return {f'{STAGE2_PREFIX}{name}': name for name in names if not name.startswith(dropped)}
    return {
        name: name
        for name in names
        if name.startswith(STAGE2_PREFIX) and not any(part in name for part in STAGE2_ONLY)
    }


def clip_text_names(names: Collection[str]) -> dict[str, str]:
    """Name in the CLIP model -> name in the file, of a text tower.

    MobileCLIP files have ``text_encoder.*`` beside their image tower, InternVL-C files
    ``transformer.*`` and ``text_projection``.
    """
    kept = {name: name for name in names if name.startswith(TEXT_PREFIX)}
    if kept:
        return kept
    parts = ('transformer.', 'text_projection')
    return {f'{TEXT_PREFIX}{name}': name for name in names if name.startswith(parts)}


def released_options(options: Mapping[str, Any]) -> dict[str, Any]:
    """Options for a released file, whose time steps hold for that file alone."""
    is_released = options.get('kind', KINDS[0]) == KINDS[0]
    kept = {k: v for k, v in options.items() if k == 'orig_t_size' and is_released}
    return dict(kind=KINDS[0]) | kept


def check_kind(kind: str, known: Collection[str] = KINDS) -> str:
    """Return ``kind`` if it is known, else raise ValueError."""
    if kind not in known:
        raise ValueError(f'kind must be one of {", ".join(known)}, got {kind!r}')
    return kind


@CHECKPOINT_ADAPTERS.register_module(name='internvideo2_stage2')
class Stage2Adapter(CheckpointAdapter):
    """Published stage-2 files, or a stage-1 tower, into :class:`InternVideo2Stage2`, and back.

    Files of the pretraining build fit the build without masked-language head and the reverse;
    decoders are left over by a model without neck, audio parts by a model without
    them.

    Args:
        kind: ``'released'``: a stage-2 file; ``'stage1'``: a pretrained vision tower, with
            which all else stays as it was initialised.
        orig_t_size: time steps of the file's position tables; by default inferred when only one
            reading fits, else the published 8.
        new_parts: children of the model that the file may lack, such as a matching head for
            sound: they then stay as they were initialised.

    Raises:
        ValueError: unknown ``kind``, or ``new_parts`` that the model does not have.

    Source: arXiv 2403.15377 and the published multi-modality scripts.
    """

    names = NameTable(
        *((f'{STAGE2_PREFIX}{part}', f'neck.{part}') for part in NECK_PARTS),
        (STAGE2_PREFIX, STAGE2_PREFIX),
        (STAGE2_PREFIX, 'neck.'),  # what else a neck holds, on the way back
    )
    own_marks = ('neck.',)
    model_parts = ('vision_encoder', 'text_encoder')
    shares_names = True

    def __init__(
        self,
        kind: str = 'released',
        orig_t_size: int | None = None,
        new_parts: Sequence[str] = (),
    ) -> None:
        self.kind = check_kind(kind, KINDS[:2])
        self.orig_t_size, self.new_parts = orig_t_size, tuple(new_parts)

    def to_ours(
        self, published: Mapping[str, Tensor], model: nn.Module, report: LoadReport | None = None
    ) -> State:
        """Entries of ``published`` in the names and table sizes of ``model``."""
        report, own = LoadReport() if report is None else report, model.state_dict()
        prefix = STAGE2_PREFIX if self.kind == 'stage1' else ''
        names = {name: self._name(f'{prefix}{name}', own) for name in published}
        report.left_over = [name for name, ours in names.items() if self._is_spare(name, ours, own)]
        state = {
            ours: published[name] for name, ours in names.items() if name not in report.left_over
        }
        if self.kind == 'stage1':
            tower = (STAGE2_PREFIX, 'neck.')
            report.new = [name for name in own if not name.startswith(tower)]
        allowed = self._names_of_new_parts(own)
        report.new += [
            name for name in own if name not in state and (name in allowed or _is_new(name, state))
        ]
        parts = {STAGE2_PREFIX: model.vision_encoder}
        if getattr(model, 'neck', None) is not None:
            parts['neck.'] = model.neck
        grid = model.vision_encoder.grid
        for prefix, part in parts.items():
            tables = part.position_tables()
            resize_tables(state, own, prefix, tables, grid, report, orig_t_size=self.orig_t_size)
        return state

    def _names_of_new_parts(self, own: Collection[str]) -> set[str]:
        found = {part: {n for n in own if n.startswith(f'{part}.')} for part in self.new_parts}
        lost = [part for part, names in found.items() if not names]
        if lost:
            raise ValueError(f'new_parts: the model has no {", ".join(lost)}')
        return set().union(*found.values())

    def _name(self, published: str, own: Collection[str]) -> str:
        ours = self.names.to_ours(published)
        if ours != published:
            return ours
        has_head = any(name.startswith(f'{TEXT_PREFIX}cls.') for name in own)
        return language_text_name(published) if has_head else plain_text_name(published)

    def _is_spare(self, published: str, ours: str, own: Collection[str]) -> bool:
        if is_repeated(published) or published.startswith('clip_teacher.'):
            return True
        if ours in own:
            return False
        inner = ours.removeprefix(STAGE2_PREFIX)
        if ours.startswith('neck.'):  # no neck, a shorter one, or shared image tables
            return not any(name.startswith('neck.') for name in own) or 'img' in ours
        if ours.startswith(AUDIO_PARTS):
            return not any(name.startswith(f'{ours.partition(".")[0]}.') for name in own)
        parts = (*MAE_PARTS, *CLASSIFIER_PARTS, 'img_pos_embed')
        return (inner != ours and inner.startswith(parts)) or ours.startswith(f'{TEXT_PREFIX}cls.')

    def lacks(self, published: Collection[str]) -> list[str]:
        """Towers of a stage-2 file, parts of the encoder of a stage-1 file."""
        parts = ENCODER_PARTS if self.kind == 'stage1' else (STAGE2_PREFIX, TEXT_PREFIX)
        return [part for part in parts if not any(name.startswith(part) for name in published)]

    def is_published(self, names: Collection[str]) -> bool:
        """Whether repeated entries, a teacher, or decoders inside the vision tower are there."""
        marks = ('clip_teacher.', *(f'{STAGE2_PREFIX}{part}' for part in NECK_PARTS))
        return any(name.startswith(marks) or is_repeated(name) for name in names)

    def _rename(self, published: Mapping[str, Tensor]) -> State:
        prefix = STAGE2_PREFIX if self.kind == 'stage1' else ''
        kept = {
            f'{prefix}{name}': tensor
            for name, tensor in published.items()
            if not (is_repeated(name) or name.startswith(('clip_teacher.', *MAE_PARTS)))
        }
        return super()._rename(kept)

    def _to_published(self, ours: Mapping[str, Tensor]) -> State:
        return with_repeats(super()._to_published(ours))

    @property
    def gives_whole_model(self) -> bool:
        """Whether the file is one of stage 2."""
        return self.kind == 'released'

    @classmethod
    def whole_model_options(cls, options: Mapping[str, Any]) -> dict[str, Any]:
        """Options for a stage-2 file."""
        return released_options(options)

    def hints(self, theirs: Shapes, ours: Shapes, report: LoadReport) -> list[str]:
        """Architecture, position tables and patches, where they differ."""
        return transformer_hints(theirs, ours, report)


def _is_new(name: str, state: Collection[str]) -> bool:
    """Whether the file is of another build, without image tables or masked-language head."""
    if 'img_pos_embed' in name:
        return True
    head = f'{TEXT_PREFIX}cls.'
    return name.startswith(head) and not any(other.startswith(head) for other in state)


@CHECKPOINT_ADAPTERS.register_module(name='internvideo2_clip')
class CLIPAdapter(CheckpointAdapter):
    """Published CLIP files, or the towers that these start from, into :class:`InternVideo2CLIP`.

    Args:
        kind: what the file is: ``'released'``: a CLIP model's file (or the part of one that was
            trained); ``'stage2'``: a stage-2 file, of which the vision tower is taken;
            ``'stage1'``: a bare vision tower, pretrained or fine-tuned.
        text: file of the text tower, InternVL-C or MobileCLIP; None with another kind than
            ``'released'`` leaves the text tower as it was initialised.
        extra: file in a CLIP model's names (or its entries), which override all others.
        orig_t_size: time steps of the first file's position table; by default, and for a table
            of ``extra``, inferred.
        partial: a released file that holds the trained parts only; what it lacks comes from
            ``text`` or stays as initialised.
        trusted_pickle: as for the first file, for ``text`` and ``extra``.

    Raises:
        ValueError: unknown ``kind``.
    """

    model_parts = ('vision_encoder', 'text_encoder')

    def __init__(
        self,
        kind: str = 'released',
        text: str | os.PathLike | None = None,
        extra: str | os.PathLike | Mapping[str, Tensor] | None = None,
        orig_t_size: int | None = None,
        partial: bool = False,
        trusted_pickle: bool = False,
    ) -> None:
        self.kind, self.text, self.extra = check_kind(kind), text, extra
        self.orig_t_size, self.partial = orig_t_size, partial
        self.trusted_pickle = trusted_pickle

    def to_ours(
        self, published: Mapping[str, Tensor], model: nn.Module, report: LoadReport | None = None
    ) -> State:
        """Entries of ``published`` (and of the further files) as ``model`` names them."""
        report, own = LoadReport() if report is None else report, model.state_dict()
        files = [self.select(published)]
        if self.text is not None:
            text = read_state_dict(self.text, self.trusted_pickle)
            files.append({ours: text[name] for ours, name in clip_text_names(text).items()})
        orig_t_size, extra = self.orig_t_size, self.extra
        if extra is not None:
            given = isinstance(extra, Mapping)
            files.append(extra if given else read_state_dict(extra, self.trusted_pickle))
            if f'{STAGE2_PREFIX}pos_embed' in files[-1]:  # then the first file's does not count
                orig_t_size = None
        # Later files override earlier ones, `extra` all of them.
        state = {base_layer_name(k, own): v for file in files for k, v in file.items()}
        report.left_over = [name for name in state if self._is_spare(name, own)]
        state = {name: value for name, value in state.items() if name not in report.left_over}
        report.left_over += [name for name in self._unused(published) if name not in state]
        report.new = [name for name in own if name not in state and self._is_new(name, state)]
        encoder = model.vision_encoder
        tables, grid = encoder.position_tables(), encoder.grid
        resize_tables(state, own, STAGE2_PREFIX, tables, grid, report, orig_t_size=orig_t_size)
        return state

    def adapts(self, names: Collection[str], own: Collection[str]) -> bool:
        """Whether it is not exactly a whole model of ours: it may hold a part of one."""
        return names != own

    def complete(
        self,
        given: Mapping[str, Tensor],
        model: nn.Module,
        report: LoadReport,
        init: Mapping[str, Any],
        *,
        strict: bool = True,
        trusted_pickle: bool = False,
    ) -> State:
        """Convert a file that is given for a whole model, or for what training changes of one.

        Where the model is made up of several files (``extra``) the given one may hold a part of
        it: it stands in for ``extra``, and what training left as it was comes from the others.

        Arguments: see :meth:`CheckpointAdapter.complete`.

        Raises:
            CheckpointMismatchError: a part without a parameter that training changes.
            FileNotFoundError: the files for the rest are not there.
        """
        own = model.state_dict().keys()
        names = {base_layer_name(name, own) for name in given}
        if self.extra is None or own <= names:
            return CLIPAdapter(orig_t_size=self.orig_t_size).to_ours(given, model, report)
        trained = [name for name, each in model.named_parameters() if each.requires_grad]
        if lost := [name for name in trained if name not in names]:
            raise CheckpointMismatchError(
                f'checkpoint {report.source} is no part of {type(model).__name__} to put in the '
                f'place of model.init_cfg.extra: it holds no {abbreviate(lost)}, which training '
                f'changes; its entries are {abbreviate(given)}'
            )
        settings = (self.kind, self.text, given, self.orig_t_size, self.partial, trusted_pickle)
        try:
            published = read_state_dict(init['checkpoint'], trusted_pickle)
            state = CLIPAdapter(*settings).to_ours(published, model, report)
        except FileNotFoundError as error:
            raise FileNotFoundError(
                f'{error}: {report.source} holds a part of the model, and model.init_cfg names '
                'this file for the rest'
            ) from error
        # Adapters start as nothing; any other part that no file brings would be random.
        report.new = [name for name in report.new if '.lora_' in name]
        return state

    def select(self, published: Mapping[str, Tensor]) -> State:
        """Entries that are taken from the file, in published names."""
        if self.kind == 'released':
            return dict(published)
        names = clip_vision_names(published, self.kind)
        return {ours: published[name] for ours, name in names.items()}

    def _unused(self, published: Mapping[str, Tensor]) -> list[str]:
        if self.kind == 'released':
            return []
        used = set(clip_vision_names(published, self.kind).values())
        return [name for name in published if name not in used]

    def _is_spare(self, name: str, own: Collection[str]) -> bool:
        """Entries to leave out: rotary buffers, image tables and classifiers of other towers."""
        if name.endswith(ROTARY):
            return True
        inner = name.removeprefix(STAGE2_PREFIX)
        parts = (*CLASSIFIER_PARTS, 'img_pos_embed', 'clip_img_pos_embed')
        return name not in own and inner != name and inner.startswith(parts)

    def _is_new(self, name: str, state: Collection[str]) -> bool:
        if self.partial:
            return True
        if self.kind == 'released':
            return False
        has_text = any(other.startswith(TEXT_PREFIX) for other in state)
        inside = name.startswith(TEXT_PREFIX)
        return '.lora_' in name if inside and has_text else not name.startswith(STAGE2_PREFIX)

    def lacks(self, published: Collection[str]) -> list[str]:
        """The vision tower (of a file that may be a part: any tower or projection)."""
        if self.kind == 'stage1':
            parts = ENCODER_PARTS
        elif self.kind == 'stage2' or any(name.startswith(STAGE2_PREFIX) for name in published):
            parts = (STAGE2_PREFIX,)
        else:
            parts = (TEXT_PREFIX,)
        return [part for part in parts if not any(name.startswith(part) for name in published)]

    def is_ours(self, names: Collection[str]) -> bool:
        """Whether weights stand below the adapters that wrap them."""
        return any(BASE_LAYER in name for name in names)

    def is_published(self, names: Collection[str]) -> bool:
        """Whether adapters stand beside the weights that they change."""
        return any(LORA in name for name in names) and not self.is_ours(names)

    def _rename(self, published: Mapping[str, Tensor]) -> State:
        state = {k: v for k, v in self.select(published).items() if not k.endswith(ROTARY)}
        # The layers that adapters change are those with adapters beside their weights.
        own = {f'{name.partition(LORA)[0]}{BASE_LAYER}weight' for name in state if LORA in name}
        own |= {f'{name.removesuffix("weight")}bias' for name in own}
        return renamed(state, lambda name: base_layer_name(name, own))

    def _to_published(self, ours: Mapping[str, Tensor]) -> State:
        return renamed(ours, published_layer_name)

    @property
    def gives_whole_model(self) -> bool:
        """Whether the file is a CLIP model's, or ``extra`` adds what makes it one."""
        return self.kind == 'released' or self.extra is not None

    @property
    def further_files(self) -> tuple[str, ...]:
        """Files of the text tower and of what overrides all others."""
        files = (self.text, self.extra)
        return tuple(os.fspath(f) for f in files if isinstance(f, str | os.PathLike) and f)

    @classmethod
    def whole_model_options(cls, options: Mapping[str, Any]) -> dict[str, Any]:
        """Options for a CLIP model's file."""
        return released_options(options)

    def hints(self, theirs: Shapes, ours: Shapes, report: LoadReport) -> list[str]:
        """Architecture, position tables and patches, where they differ."""
        return transformer_hints(theirs, ours, report)


@CHECKPOINT_ADAPTERS.register_module(name='bert')
class BertAdapter(CheckpointAdapter):
    """BERT files of the hub (``bert-base-uncased``, sentence encoders, ...) and our text encoders.

    Cross-attention is new, and so are whole layers with it on top of all those of the file;
    pooler and next-sentence head are left over; so is the masked-language head by a plain
    encoder.  The names are the published ones; files repeat the decoder of the head.
    """

    prefixes = ('bert.',)
    parts = ('embeddings.', 'encoder.layer.')

    def to_ours(
        self, published: Mapping[str, Tensor], model: nn.Module, report: LoadReport | None = None
    ) -> State:
        """Entries of ``published`` in the names of ``model``."""
        report, own = LoadReport() if report is None else report, model.state_dict()
        state = self._take(published, any(name.startswith('bert.') for name in own), report)
        has_head = any(name.startswith('cls.') for name in state)
        last = max(map(_number, _layers(state)), default=-1)
        fusion = _layers(name for name in own if 'crossattention' in name)
        added = tuple(layer for layer in fusion if _number(layer) > last)
        report.new = [
            name
            for name in own
            if 'crossattention' in name
            or name.startswith(added)
            # A buffer that only some versions of transformers save.
            or (name not in state and name.endswith('position_ids'))
            or (name.startswith('cls.') and not has_head)
        ]
        return state

    def _take(self, published: Mapping[str, Tensor], with_head: bool, report: LoadReport) -> State:
        """Entries for an encoder with or without masked-language head, without the rest."""
        prefix = 'bert.' if with_head else ''
        spare = ('pooler.', 'cls.seq_relationship.') + (() if prefix else ('cls.',))
        state = {}
        for name, tensor in published.items():
            inner = name.removeprefix('bert.')
            if inner.startswith(spare) or is_repeated(name):
                report.left_over.append(name)
                continue
            # The oldest BERT files have the names of the TensorFlow release that they come from.
            inner = inner.replace('LayerNorm.gamma', 'LayerNorm.weight')
            inner = inner.replace('LayerNorm.beta', 'LayerNorm.bias')
            state[inner if inner.startswith('cls.') else f'{prefix}{inner}'] = tensor
        return state

    def is_published(self, names: Collection[str]) -> bool:
        """Whether repeated entries, or parts that we leave out, are there."""
        spare = ('pooler.', 'bert.pooler.', 'cls.seq_relationship.')
        return any(is_repeated(name) or name.startswith(spare) for name in names)

    def _rename(self, published: Mapping[str, Tensor]) -> State:
        """Names of the build that the file is of: with the masked-language head, or plain."""
        has_head = any(name.startswith('cls.predictions.') for name in published)
        return self._take(published, has_head, LoadReport())

    def _to_published(self, ours: Mapping[str, Tensor]) -> State:
        return with_repeats(ours)


def _layers(names: Iterable[str]) -> set[str]:
    """``...encoder.layer.i.`` of every parameter in a BERT layer."""
    return {found[0] for found in map(BERT_LAYER.match, names) if found}


def _number(layer: str) -> int:
    return int(layer.split('.')[-2])


@CHECKPOINT_ADAPTERS.register_module(name='beats')
class BEATsAdapter(CheckpointAdapter):
    """Published BEATs files into :class:`BEATs`, and back.

    The position table is held once; the classifier of a fine-tuned file is left over by a model
    without.  Files hold the settings of their model beside the weights: a model of others is
    refused even where all shapes agree.
    """

    parts = ('patch_embedding.', 'encoder.layers.')
    model_parts = ('patch_embedding', 'encoder')
    reads_settings = True

    def check_settings(self, settings: Mapping[str, Any], model: nn.Module) -> list[str]:
        """List what differs between the settings of a file and those of ``model``."""
        return [
            f'{name} is {settings[name]!r} in the file, {own!r} in the model'
            for name, own in model.settings.items()
            if settings.get(name, own) != own
        ]

    def to_ours(
        self, published: Mapping[str, Tensor], model: nn.Module, report: LoadReport | None = None
    ) -> State:
        """Entries of ``published`` in the names of ``model``."""
        report, own = LoadReport() if report is None else report, model.state_dict()
        report.left_over = [
            name
            for name in published
            if is_repeated(name) or (name.startswith('predictor.') and name not in own)
        ]
        return {name: value for name, value in published.items() if name not in report.left_over}

    def is_published(self, names: Collection[str]) -> bool:
        """Whether the table of positions is repeated."""
        return any(map(is_repeated, names))

    def _rename(self, published: Mapping[str, Tensor]) -> State:
        return {name: value for name, value in published.items() if not is_repeated(name)}

    def _to_published(self, ours: Mapping[str, Tensor]) -> State:
        return with_repeats(ours)
