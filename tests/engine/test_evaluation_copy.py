"""The copy of a sharded model evaluates like it and keeps none of its weights."""

from pathlib import Path

import pytest
import torch
from mmengine.registry import init_default_scope

from internvideo.engine.strategies.evaluation_copy import (
    copy_without_weights,
    release_parameters,
    set_tensor,
    share_attributes,
)
from internvideo.engine.strategies.sharded import tied_names
from internvideo.registry import MODELS
from internvideo.structures import VideoDataSample
from tests.apis.tiny_retrieval import clip_model, retrieval_model

CONFIGS = dict(stage2=retrieval_model(Path('unused'), audio=True), clip=clip_model())


@pytest.fixture(params=CONFIGS)
def model(request):
    init_default_scope('internvideo')
    torch.manual_seed(0)
    return MODELS.build(dict(CONFIGS[request.param], data_preprocessor=None)).eval()


def features(model):
    inputs = dict(
        video=torch.linspace(-1, 1, 2 * 3 * 2 * 28 * 28).view(2, 3, 2, 28, 28),
        text=dict(
            input_ids=torch.tensor([[2, 5, 3], [2, 7, 3]]),
            attention_mask=torch.ones(2, 3, dtype=torch.long),
        ),
    )
    samples = model(inputs, [VideoDataSample() for _ in range(2)], mode='predict')
    return torch.stack([torch.cat([s.vision_feature, s.text_feature]) for s in samples])


def test_filled_copy_is_the_model_and_released_holds_nothing(model):
    with torch.no_grad():
        expected = features(model)
        copied = copy_without_weights(model)
        assert not sum(parameter.numel() for parameter in copied.parameters())
        assert tied_names(copied) == tied_names(model)
        for name, value in model.named_parameters():
            set_tensor(copied, name, value.clone())
        for value in model.parameters():
            value.fill_(float('nan'))
        assert torch.equal(features(copied), expected)
    assert not any(parameter.requires_grad for parameter in copied.parameters())
    release_parameters(copied)
    assert not sum(parameter.numel() for parameter in copied.parameters())


def test_half_precision_becomes_whole_and_integers_stay():
    copied = copy_without_weights(torch.nn.BatchNorm1d(2))
    set_tensor(copied, 'weight', torch.ones(2, dtype=torch.bfloat16))
    set_tensor(copied, 'num_batches_tracked', torch.tensor(3))
    assert copied.weight.dtype == torch.float32
    assert (copied.num_batches_tracked.dtype, int(copied.num_batches_tracked)) == (torch.int64, 3)


def test_what_is_set_later_is_shared_and_what_an_engine_adds_is_not(model):
    copied = copy_without_weights(model)
    model.contrastive.aggregate, model.vision_encoder.forward = 'changed', None
    share_attributes(model, copied)
    assert copied.contrastive.aggregate == 'changed'
    assert callable(copied.vision_encoder.forward)
