"""Evaluation sets are encoded once, with token matrices and matching where metrics ask for them."""

import contextlib

import pytest
import torch
from torch import nn

from internvideo.engine.inference import retrieval_encoder
from internvideo.engine.inference.set_encoder import Kept, SetEncoder
from internvideo.registry import METRICS
from internvideo.structures import VideoDataSample
from internvideo.structures.encoded import Encoded, RetrievalModel, TokenFeatures

WORDS = ['up', 'down', 'left', 'right', 'red']
TEXTS = ['up', 'down left', 'up', 'right red up', 'red']


class LateInteraction(RetrievalModel, nn.Module):
    """Words and frames are rows of one table; every feature is their mean."""

    modalities = ('vision',)
    temperature = 0.1
    pairs_per_forward = 2

    def __init__(self):
        super().__init__()
        self.table = nn.Parameter(torch.eye(len(WORDS)))
        self.data_preprocessor = Preprocessor()
        self.texts_seen = []
        self.pairs_seen = []

    def encode(self, inputs):
        if 'text' in inputs:
            self.texts_seen += inputs['text']['input_ids'].tolist()
        return {
            name: self._encoded(ids['input_ids'] if name == 'text' else ids)
            for name, ids in inputs.items()
        }

    def _encoded(self, ids):
        ids, mask = ids.long().clamp(min=0), ids >= 0
        vectors = self.table[ids]
        mean = (vectors * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)
        return Encoded(vectors, mean, mask, token_features=TokenFeatures(vectors, mask))

    def matching_head(self, modality):
        return 'head'

    def match_scores(self, samples, texts, sample_rows, text_rows, modality):
        self.pairs_seen += [len(text_rows)]
        common = samples.tokens[sample_rows].flatten(1) @ samples.tokens[0].flatten()
        return common + (texts.tokens[text_rows] * texts.mask[text_rows][..., None]).sum((1, 2))


class Preprocessor(nn.Module):
    """Words to numbers; -1 where there is none."""

    def forward(self, batch, training=False):
        return dict(batch, inputs=batch['inputs'] and dict(vision=batch['inputs']['video']))

    def tokenize(self, texts, max_length=None):
        rows = [[WORDS.index(word) for word in text.split()] for text in texts]
        return dict(input_ids=torch.tensor([row + [-1] * (3 - len(row)) for row in rows]))


class Part:
    """Five clips, the fourth of them broken, whose frames are the words of their caption."""

    name, files, task, modality, media_type = 'set', 'a.json', 'retrieval', 'vision', 'video'
    max_text_length, num_prompts, texts = None, 1, TEXTS
    ground_truth = ((0,), (1,), (2,), (3,), (4,))

    def __len__(self):
        return len(TEXTS)


def batches():
    tokens = Preprocessor().tokenize(TEXTS)['input_ids']
    for rows in ([0, 1], [2, 3], [4]):
        samples = [VideoDataSample(metainfo=dict(path=f'{r}.mp4', sample_index=r)) for r in rows]
        for sample in samples:
            if sample.sample_index == 3:
                sample.set_metainfo(dict(unreadable='broken'))
        clips = tokens[[row for row in rows if row != 3]]
        yield dict(inputs=dict(video=clips.float()), data_samples=samples)


def encode(kept=Kept(), part=None):
    model = LateInteraction()
    encoder = SetEncoder(model, contextlib.nullcontext(), None)
    return model, encoder.encode(part or Part(), batches(), kept)


@pytest.mark.parametrize('size', [1, 2, 256])
def test_equal_texts_are_encoded_once_and_tie(monkeypatch, size):
    monkeypatch.setattr(retrieval_encoder, 'TEXTS_AT_ONCE', size)
    model, encoded = encode()
    assert len(model.texts_seen) == len(set(TEXTS))
    assert torch.equal(encoded.texts[0], encoded.texts[2])
    assert encoded.rows.tolist() == [0, 1, 2, 4]
    assert encoded.unreadable == [dict(path='3.mp4', reason='broken')]
    assert encoded.match is encoded.sample_tokens is encoded.text_tokens is None


def test_token_matrices_are_kept_for_metrics_that_compare_them():
    _, encoded = encode(Kept(tokens=True))
    assert (len(encoded.sample_tokens), len(encoded.text_tokens)) == (4, 5)
    assert encoded.text_tokens.mask.sum(1).tolist() == [1, 2, 1, 3, 1]
    metric = METRICS.build(dict(type='RetrievalMetric', scorer=dict(type='TokenWise')))
    metric.process(encoded, [])
    found = metric.evaluate(5)
    # The first and third clips and texts are alike, and ties never help; the fourth is broken.
    assert (found['set_emb/v2t_r1'], found['set_emb/v2t_r5']) == (40.0, 80.0)
    assert found['set_emb/t2v_r1'] == 40.0


def test_equal_texts_are_matched_once_a_few_at_a_time():
    model, encoded = encode(Kept(match=True))
    pairs = torch.cartesian_prod(torch.arange(4), torch.arange(5))
    scores = encoded.match(pairs).view(4, 5)
    assert torch.equal(scores[:, 0], scores[:, 2])
    assert model.pairs_seen == [2, 2] * 4  # four distinct texts of each clip


def test_prompts_of_one_text_have_no_token_matrix():
    part = Part()
    part.num_prompts = 5
    with pytest.raises(ValueError, match='set: texts of several prompts are compared by vectors'):
        encode(Kept(tokens=True), part)


@pytest.mark.parametrize(
    ('model', 'error', 'reason'),
    [
        (LateInteraction, ValueError, 'set holds audio, but LateInteraction encodes vision, not'),
        (nn.Identity, TypeError, 'Identity encodes no samples and texts: derive it from'),
    ],
)
def test_what_a_model_does_not_encode_is_named(model, error, reason):
    part = Part()
    part.modality, part.media_type = 'audio', 'audio'
    with pytest.raises(error, match=reason):
        SetEncoder(model(), contextlib.nullcontext(), None).encode(part, batches(), Kept())
