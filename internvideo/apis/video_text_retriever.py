"""Searching videos by words, or by a video."""

import json
import logging
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.config import Config
from mmengine.logging import print_log
from torch import Tensor

from internvideo.datasets.collate import collate_media
from internvideo.datasets.frame_records import record_of
from internvideo.datasets.inference.media_reader import MEDIA_TYPES, MediaReader, media_batches
from internvideo.datasets.inference.video_lists import failures_file, list_videos
from internvideo.engine.inference.devices import autocast, pick_device
from internvideo.engine.inference.retrieval_encoder import RetrievalEncoder
from internvideo.fileio.json_files import append_json_line
from internvideo.fileio.manifests import ManifestWriter
from internvideo.hub.frame_choice import follow_checkpoint
from internvideo.hub.model_zoo import get_config
from internvideo.hub.retrieval_model import encoder_fields, load_retriever, weights_digest
from internvideo.registry import INFERENCERS
from internvideo.search.index_parts import IndexedFile, PartWriter
from internvideo.search.indexed_files import OutOfDate, file_states
from internvideo.search.vector_index import Hit, VectorIndex
from internvideo.structures.encoded import Encoded

PathLike = str | os.PathLike
LABEL_SCALE = 100.0
"""Cosines are multiplied by this before the softmax over texts, as in the published demo."""


@dataclass(frozen=True)
class VideoMatch:
    """A video found by a query.

    Attributes:
        path: the file.
        score: what results are ordered by: the cosine or, after re-ranking, the matching head's
            logit of "belongs together".
        cosine: of the features of query and video.
    """

    path: str
    score: float
    cosine: float

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


@dataclass(frozen=True)
class IndexReport:
    """Result of :meth:`VideoTextRetriever.index`.

    Attributes:
        encoded: videos encoded, new ones and those that had changed.
        kept: videos of this share that were there already.
        removed: videos taken out because their file has gone.
        failed: {path: why it cannot be read}.
        total: videos in the index now.
    """

    encoded: int
    kept: int
    removed: int
    failed: dict[str, str]
    total: int


@INFERENCERS.register_module()
class VideoTextRetriever:
    """Encodes videos once into an index, and finds those that a text or a video describes.

    Args:
        model: config, config file or model name of a family in
            ``configs/internvideo2/{retrieval,clip,stage2,zero_shot}`` or
            ``configs/internvideo1/viclip``.  Its test loader says which frames are seen and how.
        checkpoint: weights, ours or published; None takes the released files that the config
            names, else the published weights of that name.
        device: torch device; None takes the GPU when there is one.
        dtype: ``'float32'``, or ``'bfloat16'`` / ``'float16'`` for autocast.
        modality: what is encoded of a file: ``'vision'``; with models that hear also ``'audio'``
            or ``'audio_vision'``.
        batch_size: videos in one forward pass.
        workers: processes that decode; 0: this one.
        max_text_length: tokens that texts are cut to; None: the tokenizer's own length.
        random_weights: run without a checkpoint, for trying things out.
        frame_sampling: whose choice of frames counts where the checkpoint says how it was trained:
            its own (``'checkpoint'``), or the ``'config'``'s.
        backend: video reader in place of the config's.
        limits: sizes and times above which a file is refused, fields of :class:`MediaLimits`.

    Raises:
        KeyError, FileNotFoundError: unknown name; config or checkpoint not found.
        CheckpointMismatchError: the weights do not fit the model.
        ValueError: no weights are known, or the model cannot do this.
    """

    def __init__(
        self,
        model: PathLike | Config,
        checkpoint: PathLike | None = None,
        device: str | None = None,
        dtype: str = 'float32',
        modality: str = 'vision',
        batch_size: int = 8,
        workers: int = 2,
        max_text_length: int | None = None,
        random_weights: bool = False,
        frame_sampling: str = 'checkpoint',
        backend: str | None = None,
        limits: Mapping[str, Any] | None = None,
    ) -> None:
        if batch_size < 1 or workers < 0:
            raise ValueError(f'batch_size={batch_size} or workers={workers} is too small')
        if modality not in MEDIA_TYPES:
            raise ValueError(f'modality must be one of {", ".join(MEDIA_TYPES)}, got {modality!r}')
        device = pick_device(device)
        self.config, self.batch_size, self.workers = get_config(model), batch_size, workers
        built, source, self._untrained = load_retriever(
            model, self.config, checkpoint, random_weights
        )
        digest = weights_digest(built)
        follow_checkpoint(self.config, source, frame_sampling, built.video_encoder)
        self.reader = MediaReader(self.config, built, modality, backend, limits)
        precision = autocast(device, dtype)
        try:
            self.encoder = RetrievalEncoder(built.to(device), modality, precision, max_text_length)
        except ValueError as error:
            raise ValueError(f'modality={modality!r} cannot be encoded: {error}') from None
        name = self.config.filename if isinstance(model, Config) else os.fspath(model)
        note = dict(model=name, checkpoint=source, dtype=dtype)
        self.settings = self._settings(weights_sha256=digest, modality=modality, note=note)
        self._index: VectorIndex | None = None

    def _settings(self, **facts: Any) -> dict[str, Any]:
        """Settings of an index, with a ``note`` for people."""
        colours = self.encoder.model.data_preprocessor
        settings = dict(
            encoders=encoder_fields(self.config),
            mean=colours.mean.flatten().tolist(),
            std=colours.std.flatten().tolist(),
            **self.reader.settings,
            **facts,
        )
        return json.loads(json.dumps(settings))  # as JSON gives them back, to be compared

    # ------------------------------------------------------------- indexing

    def index(
        self,
        videos: PathLike | Sequence[PathLike],
        index_dir: PathLike,
        root: PathLike | None = None,
        shard: tuple[int, int] = (0, 1),
        store_tokens: bool = False,
        progress: Callable[[int, int], None] | None = None,
        manifest: ManifestWriter | None = None,
    ) -> IndexReport:
        """Encode videos that the index does not have yet, and search them from now on.

        A call that was stopped goes on where it was.  Videos whose size or time has changed are
        encoded again; those of the given folders and lists whose file has gone are taken out;
        others stay.  Videos that cannot be read are listed in ``failed.jsonl``.

        Args:
            videos: a folder, a video, a list of videos (``.txt``, ``.csv``), or several of these.
            index_dir: folder of the index, made when it is not there.
            root: folder that relative paths of lists start from.
            shard: ``(i, n)``: encode every n-th video from the i-th on; processes that each have
                a share fill one index together.
            store_tokens: a new index keeps what re-ranking reads (megabytes a video), so that
                it need not decode again.
            progress: called with the number of videos done and to do.
            manifest: is given the record of each video that this call reads.

        Raises:
            FileNotFoundError: a source does not exist, or a folder holds no video.
            IndexMismatchError: the index was made by another model or in another way.
            ValueError: ``index_dir`` cannot be used.
        """
        if store_tokens:
            self.check_matching()
        sources = [videos] if isinstance(videos, str | os.PathLike) else list(videos)
        listed = list_videos(sources, root, self.reader.suffixes)
        files = file_states(os.path.abspath(video.path) for video in listed)  # noqa: PTH100
        index = VectorIndex.create(index_dir, self.settings, store_tokens)
        # Before the index is asked what it has, so that videos which have changed count as new.
        stale = index.tidy(OutOfDate(files, sources))
        mine, known = list(files)[shard[0] :: shard[1]], {file.path for file in index.files()}
        pending = [path for path in mine if path not in known]
        failed = {path: 'file not found' for path in pending if files[path] is None}
        if manifest is not None:
            for path, reason in failed.items():
                manifest.add(dict(path=path, unreadable=reason))
        readable = [files[path] for path in pending if files[path] is not None]
        failed |= self._encode_into(index, readable, progress, manifest)
        # Joins parts that ended early by time, and drops what other processes encoded as well.
        index.tidy()
        # One file for each share: processes would overwrite each other's.
        _list_failures(index.folder / failures_file(shard), failed)
        self._index = index
        return IndexReport(
            encoded=len(pending) - len(failed),
            kept=len(mine) - len(pending),
            # Files that have changed were taken out too, but are encoded again.
            removed=sum(files.get(file.path) is None for file in stale),
            failed=failed,
            total=len(index),
        )

    def _encode_into(
        self,
        index: VectorIndex,
        files: Sequence[IndexedFile],
        progress: Callable[[int, int], None] | None,
        manifest: ManifestWriter | None,
    ) -> dict[str, str]:
        """Encode files into the index and return {path: reason} of those that cannot be."""
        failed: dict[str, str] = {}
        self.reader.record_frames = manifest is not None
        done, paths = 0, [file.path for file in files]
        with index.writer() as writer:
            for batch in media_batches(self.reader, paths, self.batch_size, self.workers):
                samples = batch['data_samples']
                if manifest is not None:
                    for record in map(record_of, samples):
                        manifest.add(record)
                failed |= {s.path: s.unreadable for s in samples if s.is_unreadable}
                chosen = [files[s.sample_index] for s in samples if not s.is_unreadable]
                if chosen:
                    failed |= _add(writer, chosen, self.encoder.samples(batch))
                done += len(samples)
                if progress is not None:
                    progress(done, len(files))
        return failed

    # ------------------------------------------------------------ searching

    def open(self, index_dir: PathLike) -> VectorIndex:
        """Search an index that is there.

        Raises:
            FileNotFoundError: there is none.
            IndexMismatchError: it was made by another model or in another way.
        """
        index = VectorIndex(index_dir)
        index.check(self.settings)
        self._index = index
        return index

    def search(
        self,
        text: str | Sequence[str] | None = None,
        video: PathLike | Sequence[PathLike] | None = None,
        top_k: int = 10,
        rerank: int = 0,
    ) -> list[VideoMatch] | list[list[VideoMatch]]:
        """The best videos of the index for a query, best first.

        Args:
            text: a query, or several.
            video: a video file, or several, in place of a text; one that is in the index finds
                itself first.
            top_k: videos in a result.
            rerank: judge so many of the best (at least ``top_k``) by the model's matching head,
                with their tokens from the index or from decoding them again.

        Returns:
            A list of matches; for several queries a list of such lists.

        Raises:
            ValueError: no index, an empty one, an empty query, or re-ranking that the model or
                the query does not allow.
            MediaError: ``video`` cannot be read.
        """
        if (text is None) == (video is None):
            raise ValueError('search by a text or by a video: give one of them')
        if top_k < 1 or rerank < 0:
            raise ValueError(f'top_k={top_k} or rerank={rerank} is too small')
        if rerank and video is not None:
            raise ValueError('re-ranking judges pairs of text and video: search by a text')
        if rerank:
            self.check_matching()
        if self._index is None:
            raise ValueError('there is no index to search: call index() or open() first')
        index, given = self._index, text if video is None else video
        is_single = isinstance(given, str | os.PathLike)
        queries = [given] if is_single or not isinstance(given, Iterable) else list(given)
        kind, name = (str, 'text') if video is None else (str | os.PathLike, 'video file')
        if strange := [query for query in queries if not isinstance(query, kind)]:
            raise ValueError(f'{strange[0]!r} is no {name} to search by')
        texts = self.encoder.queries(queries) if video is None else None
        features = self.encode_videos(queries) if texts is None else texts.feature
        found = index.search(features, max(top_k, rerank))
        if not any(found):
            raise ValueError(f'the index {index.folder} holds no video')
        if rerank:
            results = [matches[:top_k] for matches in self._rerank(index, texts, found)]
        else:
            results = [[VideoMatch(h.path, h.cosine, h.cosine) for h in hits] for hits in found]
        return results[0] if is_single else results

    def labels(self, video: PathLike, texts: Sequence[str]) -> list[tuple[str, float]]:
        """Texts and the probability of each to describe a video, best first.

        Probabilities are the softmax of 100 times the cosines, as in the published demo.

        Raises:
            MediaError: the video cannot be read.
            ValueError: there is no text, or one holds no word.
        """
        cosines = self.encode_texts(texts) @ self.encode_videos([video])[0]
        chances = (LABEL_SCALE * cosines).softmax(dim=0).tolist()
        return sorted(zip(texts, chances, strict=True), key=lambda pair: -pair[1])

    def encode_texts(self, texts: Sequence[str]) -> Tensor:
        """float32 (N, D) features of length 1, on the CPU.

        Raises:
            ValueError: there is no text, or one holds no word.
        """
        return self.encoder.queries(texts).feature.cpu()

    def encode_videos(self, videos: Sequence[PathLike]) -> Tensor:
        """float32 (N, D) features of length 1, on the CPU.

        Raises:
            MediaError: a video cannot be read.
            ValueError: there is no video.
        """
        if not videos:
            raise ValueError('there is no video')
        rows = [self.encoder.samples(collate_media([self.reader(v)])).feature for v in videos]
        return torch.cat(rows).cpu()

    # ----------------------------------------------------------- re-ranking

    def check_matching(self) -> None:
        """Raise ValueError when the model cannot re-rank."""
        head, model = self.encoder.matching_head, type(self.encoder.model).__name__
        if head is None:
            raise ValueError(
                f'{model} has no matching head for {self.encoder.modality}, so it cannot re-rank'
            )
        # Left as it was initialised, it would order the videos at random.
        if head in self._untrained:
            raise ValueError(f'{head} is not trained in the weights of this config')

    def _rerank(
        self, index: VectorIndex, texts: Encoded, found: list[list[Hit]]
    ) -> list[list[VideoMatch]]:
        """Order matches by their logits without videos that cannot be read now."""
        results: list[list[VideoMatch]] = [[] for _ in found]
        # Each video once, however many queries found it: its tokens may have to be decoded for.
        distinct = list({hit.path: hit for hits in found for hit in hits}.values())
        for hits, tokens in self._tokens_of(index, distinct):
            rows = {hit.path: row for row, hit in enumerate(hits)}
            pairs = [(q, h) for q, each in enumerate(found) for h in each if h.path in rows]
            numbers = torch.tensor(
                [(rows[hit.path], query) for query, hit in pairs], device=tokens.device
            )
            encoded = Encoded(tokens, None)
            logits = self.encoder.match(encoded, texts, *numbers.T).tolist()
            for (query, hit), logit in zip(pairs, logits, strict=True):
                results[query].append(VideoMatch(hit.path, logit, hit.cosine))
        return [sorted(matches, key=lambda match: -match.score) for matches in results]

    def _tokens_of(self, index: VectorIndex, hits: list[Hit]) -> Iterator[tuple[list[Hit], Tensor]]:
        """Videos and their tokens, batch by batch: stored ones, or of the files."""
        if index.has_tokens:
            for first in range(0, len(hits), self.batch_size):
                chosen = hits[first : first + self.batch_size]
                stored = np.stack([hit.part.tokens()[hit.row] for hit in chosen])
                yield chosen, torch.from_numpy(stored).float().to(self.encoder.device)
            return
        paths = [hit.path for hit in hits]
        for batch in media_batches(self.reader, paths, self.batch_size, self.workers):
            samples = batch['data_samples']
            for lost in (sample for sample in samples if sample.is_unreadable):
                note = f'left out {lost.path}: {lost.unreadable}'
                print_log(note, logger='current', level=logging.WARNING)
            chosen = [hits[s.sample_index] for s in samples if not s.is_unreadable]
            if chosen:
                yield chosen, self.encoder.samples(batch).tokens


def _add(writer: PartWriter, files: Sequence[IndexedFile], encoded: Encoded) -> dict[str, str]:
    """Add features that are finite in float16 and return {path: reason} of the others."""
    arrays = [encoded.feature, *([encoded.tokens] if writer.has_tokens else [])]
    halves = [array.half().cpu().numpy() for array in arrays]
    good = np.all([np.isfinite(half).reshape(len(half), -1).all(axis=1) for half in halves], axis=0)
    if good.any():
        chosen = [file for file, is_good in zip(files, good, strict=True) if is_good]
        writer.add(chosen, *(half[good] for half in halves))
    reason = 'the model gives numbers that are not finite, or too large for float16'
    return {file.path: reason for file, is_good in zip(files, good, strict=True) if not is_good}


def _list_failures(target: Path, failed: Mapping[str, str]) -> None:
    target.unlink(missing_ok=True)
    for path, reason in failed.items():
        append_json_line(target, dict(path=path, reason=reason))
