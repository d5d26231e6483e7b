"""The CLIP model: what learns, what stays in evaluation mode, features and bad input."""

import pytest
import torch

from tests.models.tasks.retrieval.small_models import batch, clip, samples

SMALL_TEXT = dict(
    type='MobileCLIPText',
    context_length=6,
    vocab_size=40,
    dim=16,
    n_transformer_layers=1,
    n_heads_per_layer=2,
    projection_dim=8,
)


def learning(model):
    return {name for name, p in model.named_parameters() if p.requires_grad}


def test_only_pooler_and_temperature_learn_by_default():
    names = learning(clip()) - {'temp'}
    assert names and all(name.startswith('vision_encoder.clip_projector.') for name in names)


@pytest.mark.parametrize(
    ('fields', 'part'),
    [
        (dict(open_text_projection=True), 'text_projection'),
        (dict(open_text_lora=True), 'lora_'),
        (dict(freeze_text=False), 'lora_'),
    ],
    ids=str,
)
def test_parts_of_the_text_tower_open(fields, part):
    text = {name for name in learning(clip(**fields)) if name.startswith('text_encoder.')}
    assert any(part in name for name in text)
    assert not any('base_layer' in name or 'embed_tokens' in name for name in text)


def test_the_small_model_aligns_widths():
    model = clip(text_encoder=SMALL_TEXT, align_dim=8)
    assert {'vision_align.0.weight', 'vision_align.1.bias'} <= learning(model)
    features = model(batch())
    assert features['vision'].shape == features['text'].shape == (4, 8)


@pytest.mark.parametrize('frozen_eval', [True, False])
def test_frozen_modules_stay_in_evaluation_mode(frozen_eval):
    model = clip(frozen_eval=frozen_eval).train()
    assert model.text_encoder.training is not frozen_eval
    assert model.vision_encoder.blocks[0].training is not frozen_eval
    assert model.vision_encoder.clip_projector.training


def test_the_loss_trains_the_pooler_alone():
    model = clip()
    model.init_weights()
    loss = model(batch(), samples([1, 2, 3, 1]), mode='loss')['loss_vtc']
    loss.backward()
    assert {name for name, p in model.named_parameters() if p.grad is not None} == learning(model)


def test_the_temperature_has_a_lower_bound():
    model = clip(temp=0.001)
    model(batch(), None, mode='loss')
    torch.testing.assert_close(model.temp.detach(), torch.tensor(0.01))


def test_predict_fills_the_data_samples():
    found = clip()(batch(), samples([1, 2, 3, 4]), mode='predict')
    torch.testing.assert_close(found[0].vision_feature.norm(), torch.tensor(1.0))


@pytest.mark.parametrize(
    ('call', 'message'),
    [
        (lambda: clip(align_dim=8), 'video features are 8 wide, text features 12'),
        (lambda: clip()(dict(video=batch()['video']), None, mode='loss'), 'lacks text'),
        (lambda: clip()({}, None), 'nothing readable'),
        (lambda: clip()(batch(), None, mode='train'), "mode must be .*'train'"),
    ],
)
def test_bad_input_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()
