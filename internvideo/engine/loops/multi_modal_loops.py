"""Evaluation of models of media and texts: everything is encoded once, then sets are scored."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from mmengine.dist import all_gather_object, get_dist_info, is_main_process
from mmengine.runner import BaseLoop
from torch import Tensor
from torch.utils.data import DataLoader

from internvideo.engine.loops.evaluation_loops import evaluation_autocast
from internvideo.fileio.json_files import write_json
from internvideo.registry import LOOPS, METRICS
from internvideo.structures.encoded_sets import EncodedSet, SetReport, Variant, is_figure_of

TEXTS_AT_ONCE = 256
PAIRS_AT_ONCE = 64
WORTH_TELLING = 100
"""Media whose matching takes long enough to be told of."""
REPORT = 'evaluation.json'
MODALITIES = dict(image='vision', video='vision', audio='audio', audio_video='audio_vision')
MATCH_KINDS = dict(vision='vtm', audio='atm', audio_vision='avtm')


class MultiModalEvaluation(BaseLoop):
    """Encodes the media and texts of evaluation sets and has each set's protocol score them.

    Every medium is decoded and encoded once, by one process; texts are encoded in chunks that
    processes share.  What a matching head has to judge is judged by the process that holds the
    tokens of the medium, one medium at a time, so that figures do not depend on the number of
    processes.  Reports go into the log and, as JSON, into ``evaluation.json`` of the work folder.

    Args:
        runner: The runner.
        dataloader: Loader of :class:`EvaluationSets` (a config or a loader).
        evaluator: Empty: sets bring their protocols.
        k_test: Candidates of a query that a matching head judges; 0: none.
        dsl_for_match: Choose them by the dual soft-max rather than by similarity.
        amp_dtype: ``'bfloat16'``, ``'float16'``, or None for float32.
        pairs_at_once: Texts that are matched with a medium at a time.

    Raises:
        ValueError: an evaluator, or a loader of anything but whole sets; a model that cannot encode
            the media of a set, or texts of its length; options of re-ranking for a model without
            a matching head.
    """

    stage: str

    def __init__(
        self,
        runner: Any,
        dataloader: DataLoader | dict,
        evaluator: Any = None,
        k_test: int = 128,
        dsl_for_match: bool = False,
        amp_dtype: str | None = None,
        pairs_at_once: int = PAIRS_AT_ONCE,
    ) -> None:
        super().__init__(runner, dataloader)
        self._check_loader(evaluator)
        self.evaluator = runner.build_evaluator([])
        self.k_test, self.dsl_for_match = k_test, dsl_for_match
        self.pairs_at_once = pairs_at_once
        self.amp_dtype = amp_dtype
        self.autocast = evaluation_autocast(amp_dtype)
        self.reports: list[SetReport] = []
        self._batches_done = 0
        self._evaluated: Any = None
        self._check_matching()

    @property
    def model(self) -> Any:
        """The model as its author wrote it."""
        return self.runner.strategy.unwrap(self._evaluated or self.runner.model)

    def may_report(self, figure: str) -> bool:
        """Whether one of the sets may report ``figure``; see :func:`is_figure_of`."""
        return is_figure_of(figure, (part.name for part in self.dataloader.dataset.sets))

    @property
    def dtype(self) -> torch.dtype:
        """Of the weights, which engines may keep in half precision."""
        return next(self.model.parameters()).dtype

    def run(self) -> dict[str, float]:
        """Evaluate all sets; returns their figures."""
        self._call(f'before_{self.stage}')
        self._call(f'before_{self.stage}_epoch')
        self.runner.model.eval()
        self._batches_done = 0
        # after the hooks, which may exchange weights
        with self.runner.strategy.evaluated(self.runner.model) as self._evaluated:
            self.reports = [self._score(part) for part in self.dataloader.dataset.sets]
        self._evaluated = None
        metrics = {k: v for report in self.reports for each in report.variants
                   for k, v in each.metrics.items()}  # fmt: skip
        self._publish()
        self._call(f'after_{self.stage}_epoch', metrics=metrics)
        self._call(f'after_{self.stage}')
        return metrics

    def _check_loader(self, evaluator: Any) -> None:
        if evaluator:
            raise ValueError(
                f'{self.stage}_evaluator must be []: evaluation sets bring their protocols, and '
                f'figures go into {REPORT}'
            )
        if not hasattr(self.dataloader.dataset, 'sets'):
            raise ValueError(
                f'{self.stage}_dataloader must load EvaluationSets, whole, not '
                f'{type(self.dataloader.dataset).__name__}: run more processes rather than --shard'
            )

    def _check_matching(self) -> None:
        if self.k_test < 0:
            raise ValueError(f'k_test must be 0 or more, got {self.k_test}')
        if self.dsl_for_match and not hasattr(self.model, 'match_scores'):
            raise ValueError(
                f'dsl_for_match chooses what is re-ranked, but {type(self.model).__name__} has no '
                'matching head: leave it out'
            )

    def _call(self, hook: str, **facts: Any) -> None:
        self.runner.call_hook(hook, **facts)

    @torch.no_grad()
    def _score(self, part: Any) -> SetReport:
        modality = self._modality_of(part)
        has_head = self.k_test > 0 and self._can_match(MATCH_KINDS[modality], part.name)
        media = self._encode_media(part, modality, keep_tokens=has_head)
        texts = self._encode_texts(part, keep_states=has_head)
        encoded = EncodedSet(
            name=part.name,
            files=part.files,
            size=len(part),
            truth=part.truth,
            temp=float(self.model.temp),
            texts=_mean_of_prompts(texts.features, part.num_prompts),
            **media.gathered(texts.features.shape[1]),
        )
        if has_head:
            encoded.match = _Matcher(self, media, texts, encoded.rows, MATCH_KINDS[modality])
        options = dict(k_test=max(1, self.k_test), dsl_for_match=self.dsl_for_match)
        report = METRICS.build({**part.protocol, **options})(encoded)
        report.facts['precision'] = self.amp_dtype or str(self.dtype).removeprefix('torch.')
        report.unreadable = encoded.unreadable
        return report

    def _modality_of(self, part: Any) -> str:
        modality = MODALITIES[part.media_type]
        if modality != 'vision' and getattr(self.model, 'audio_encoder', None) is None:
            raise ValueError(
                f'{part.name} holds {part.media_type}, but the model has no audio_encoder'
            )
        return modality

    def _can_match(self, kind: str, name: str) -> bool:
        can_match = getattr(self.model, 'can_match', None)
        if can_match is None:
            return False
        if not can_match(kind):
            self.runner.logger.warning(f'{name} is not re-ranked: the model has no {kind} head')
        return can_match(kind)

    # --- encoding -------------------------------------------------------------------------------

    def _encode_media(self, part: Any, modality: str, keep_tokens: bool) -> '_LocalMedia':
        media = _LocalMedia()
        for batch in self._loader_of(part):
            index = self._batches_done
            self._call(f'before_{self.stage}_iter', batch_idx=index, data_batch=batch)
            data = self.model.data_preprocessor(batch, False)
            if data['inputs'] is not None:
                inputs = {key: value.to(self.dtype) for key, value in data['inputs'].items()}
                with self.autocast:
                    encoded = self.model.encode(inputs)[modality]
                media.add(encoded, keep_tokens, self.amp_dtype)
            media.add_samples(data['data_samples'])
            self._call(f'after_{self.stage}_iter', batch_idx=index, data_batch=batch, outputs=None)
            self._batches_done += 1
        return media

    def _loader_of(self, part: Any) -> DataLoader:
        """A loader like the configured one over a single set.

        Processes share whole batches: what a batch holds, and with it the last bit of a feature,
        does not depend on their number.
        """
        whole = self.dataloader
        rank, world = get_dist_info()
        size = whole.batch_size
        firsts = range(rank * size, len(part), world * size)
        places = [(0, row) for first in firsts for row in range(len(part))[first : first + size]]
        return DataLoader(
            part,
            batch_size=size,
            sampler=places,
            num_workers=whole.num_workers,
            collate_fn=whole.collate_fn,
            pin_memory=whole.pin_memory,
            worker_init_fn=whole.worker_init_fn,
        )

    def _encode_texts(self, part: Any, keep_states: bool) -> '_Texts':
        rank, world = get_dist_info()
        # Equal texts are encoded once: in other rows of a batch their last bits would differ.
        numbers = {text: number for number, text in enumerate(dict.fromkeys(part.texts))}
        distinct, chunks = list(numbers), {}
        for number in range(rank, _num_chunks(len(distinct)), world):
            chunk = distinct[number * TEXTS_AT_ONCE : (number + 1) * TEXTS_AT_ONCE]
            tokens = self.model.data_preprocessor.tokenize(chunk, part.max_text_length)
            try:
                with self.autocast:
                    encoded = self.model.encode(dict(text=tokens))['text']
            except ValueError as error:
                field = f'table.{part.name}.max_text_length={part.max_text_length}'
                raise ValueError(f'{field}: {error}') from error
            chunks[number] = encoded if keep_states else getattr(encoded, 'feature', encoded)
        return _Texts.joined(chunks, torch.tensor([numbers[text] for text in part.texts]))

    # --- reports --------------------------------------------------------------------------------

    def _publish(self) -> None:
        for report in self.reports:
            self.runner.logger.info(report_text(report))
        if is_main_process():
            path = Path(self.runner.work_dir) / REPORT
            write_json(path, [asdict(report) for report in self.reports], indent=1)


class _LocalMedia:
    """What this process has encoded of a set's media."""

    def __init__(self) -> None:
        self.features: list[Tensor] = []
        self.encoded: list[Any] = []
        self.rows: list[int] = []
        self.unreadable: list[dict[str, str]] = []

    def add(self, encoded: Any, keep_tokens: bool, dtype: str | None) -> None:
        self.features.append(_unit(encoded))
        if keep_tokens:
            tokens = encoded.tokens.cpu()
            tokens = tokens if dtype is None else tokens.to(getattr(torch, dtype))
            self.encoded += [encoded._replace(tokens=each[None], feature=None) for each in tokens]

    def add_samples(self, samples: list[Any]) -> None:
        for sample in samples:
            reason = sample.get('unreadable')
            if reason is None:
                self.rows.append(int(sample.sample_index))
            else:
                self.unreadable.append(dict(path=sample.path, reason=reason))

    def gathered(self, width: int) -> dict[str, Any]:
        """Features, rows and unreadable media of all processes, in the order of the set."""
        features = torch.cat([torch.zeros(0, width), *self.features])
        parts = all_gather_object((self.rows, features, self.unreadable))
        rows = torch.tensor([row for part in parts for row in part[0]], dtype=torch.long)
        media = torch.cat([part[1] for part in parts])
        order = rows.argsort()
        lost = sorted((each for part in parts for each in part[2]), key=lambda each: each['path'])
        return dict(media=media[order], rows=rows[order], unreadable=lost)


class _Texts:
    """Encoded texts of a set: unit features in order, and what a fusion encoder starts from.

    The latter, many times the former, are kept only where something is matched.

    ``states`` and ``mask`` are those of the distinct texts; ``places`` says where each text is
    among them.
    """

    def __init__(
        self, places: Tensor, features: Tensor, states: Tensor | None, mask: Tensor | None
    ) -> None:
        self.places, self.features = places, features[places]
        self.states, self.mask = states, mask

    @classmethod
    def joined(cls, chunks: dict[int, Any], places: Tensor) -> '_Texts':
        """From the chunks of distinct texts that each process has encoded."""
        mine = {
            number: (_unit(each), *(_cpu(getattr(each, key, None)) for key in ('tokens', 'mask')))
            for number, each in chunks.items()
        }
        merged = {k: v for part in all_gather_object(mine) for k, v in part.items()}
        columns = zip(*(merged[number] for number in sorted(merged)), strict=True)
        joined = (None if column[0] is None else torch.cat(column) for column in columns)
        return cls(places, *joined)


class _Matcher:
    """Judges pairs of media and texts by the model's matching head; see :data:`Matcher`."""

    def __init__(
        self, loop: MultiModalEvaluation, media: _LocalMedia, texts: _Texts, rows: Tensor, kind: str
    ) -> None:
        self.loop, self.texts, self.kind = loop, texts, kind
        numbers = {row: number for number, row in enumerate(rows.tolist())}
        self.held = {
            numbers[row]: each for row, each in zip(media.rows, media.encoded, strict=True)
        }

    def __call__(self, pairs: Tensor) -> Tensor:
        # Equal texts are judged once: in other rows of a batch their last bits would differ, as
        # kernels sum by position, and by which positions depends on the processor.
        distinct = torch.stack([pairs[:, 0], self.texts.places[pairs[:, 1]]], dim=1)
        distinct, place = torch.unique(distinct, dim=0, return_inverse=True)
        return self._judge_everywhere(distinct)[place]

    @torch.no_grad()
    def _judge_everywhere(self, pairs: Tensor) -> Tensor:
        """Scores of distinct pairs, each judged by the process that holds its medium."""
        own = torch.tensor([m in self.held for m in pairs[:, 0].tolist()], dtype=torch.bool)
        places = own.nonzero().flatten()
        scores = self._judge(pairs[places])
        result = torch.zeros(len(pairs))
        for their_places, their_scores in all_gather_object((places, scores)):
            result[their_places] = their_scores
        return result

    def _judge(self, pairs: Tensor) -> Tensor:
        """Scores of pairs of a medium and a distinct text, ordered by medium."""
        media, counts = pairs[:, 0].unique_consecutive(return_counts=True)
        scores = [torch.zeros(0)]
        for done, texts in enumerate(pairs[:, 1].split(counts.tolist())):
            for chunk in texts.split(self.loop.pairs_at_once):
                scores.append(self._judge_chunk(int(media[done]), chunk))
            self._tell(done + 1, len(media))
        return torch.cat(scores)

    def _tell(self, done: int, count: int) -> None:
        if count >= WORTH_TELLING and done % (count // 10) == 0:
            self.loop.runner.logger.info(f'{self.kind}: {done} of {count} media matched')

    def _judge_chunk(self, medium: int, texts: Tensor) -> Tensor:
        device = self.loop.runner.strategy.device
        held = self.held[medium]
        media = held._replace(tokens=held.tokens.to(device))
        states, mask = (x[texts].to(device) for x in (self.texts.states, self.texts.mask))
        text = held._replace(tokens=states, mask=mask)
        rows = torch.arange(len(texts), device=device)
        with self.loop.autocast:
            scores = self.loop.model.match_scores(media, text, rows * 0, rows, self.kind)
        return scores.float().cpu()


def report_text(report: SetReport) -> str:
    """A set's report as lines of text."""
    facts = ', '.join(f'{key.replace("_", " ")} {value}' for key, value in report.facts.items())
    lines = [f'{report.name} ({report.files}): {facts}']
    for variant in report.variants:
        how = ['dual softmax' if variant.dual_softmax else 'no dual softmax', _judgement(variant)]
        figures = '  '.join(f'{name} {value:.2f}' for name, value in variant.figures.items())
        lines.append(f'  {variant.prefix} ({", ".join(how)}): {figures}')
    lines += [f'  unreadable: {lost["path"]} ({lost["reason"]})' for lost in report.unreadable[:5]]
    return '\n'.join(lines)


def _judgement(variant: Variant) -> str:
    """What the matching head has done."""
    if not variant.reranked:
        return 'not re-ranked'
    if variant.candidates is None:
        return f'all {variant.reranked} options matched'
    return f'{variant.reranked} re-ranked of the best by {variant.candidates.replace("_", " ")}'


def _unit(encoded: Any) -> Tensor:
    """(B, C) unit vectors, float32 on the CPU, of features or of what holds them."""
    feature = encoded if isinstance(encoded, Tensor) else encoded.feature
    return torch.nn.functional.normalize(feature.float(), dim=-1).cpu()


def _cpu(tensor: Tensor | None) -> Tensor | None:
    return None if tensor is None else tensor.cpu()


def _num_chunks(texts: int) -> int:
    return -(-texts // TEXTS_AT_ONCE)


def _mean_of_prompts(features: Tensor, num_prompts: int) -> Tensor:
    """(M, C): scores averaged over prompts are scores of the mean of their unit vectors."""
    return features if num_prompts == 1 else features.unflatten(0, (-1, num_prompts)).mean(dim=1)


@LOOPS.register_module()
class MultiModalValLoop(MultiModalEvaluation):
    """Validation by evaluation sets; see :class:`MultiModalEvaluation`."""

    stage = 'val'


@LOOPS.register_module()
class MultiModalTestLoop(MultiModalEvaluation):
    """Test by evaluation sets; see :class:`MultiModalEvaluation`."""

    stage = 'test'
