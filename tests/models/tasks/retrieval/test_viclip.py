"""ViCLIP: what is masked and when, what learns, and bad input."""

import pytest
import torch

from tests.models.tasks.retrieval.small_models import VICLIP_VISION, samples, viclip


def batch(frames=4):
    video = torch.randn(4, 3, frames, 28, 28)
    ids = torch.tensor([[18, 3, 5, 19, 0, 0]] * 3 + [[18, 1, 2, 4, 6, 19]])
    return dict(video=video, text=dict(input_ids=ids))


def features(model, inputs):
    with torch.no_grad():
        return model(inputs)['vision']


def test_patches_are_left_out_in_training_alone():
    model, inputs = viclip(masking_prob=0.75), batch()
    model.eval()
    assert torch.equal(features(model, inputs), features(model, inputs))
    model.train()
    assert not torch.allclose(features(model, inputs), features(model, inputs))


def test_the_published_masking_runs_in_evaluation_too():
    model, inputs = viclip(masking_prob=0.75, mask_in_eval=True).eval(), batch()
    assert not torch.allclose(features(model, inputs), features(model, inputs))


@pytest.mark.parametrize(('share', 'visible'), [(0.0, 17), (0.1, 16), (0.9, 3)])
def test_the_number_of_visible_patches(share, visible):
    model, seen = viclip(masking_prob=share).train(), []
    model.vision_encoder.ln_pre.register_forward_hook(lambda _, args, out: seen.append(out.shape))
    model(batch(), samples([1, 2, 3, 4]), mode='loss')
    assert seen[0] == (4, visible, 16)


def test_images_are_masked_as_clips_of_one_frame():
    model, seen = viclip(masking_prob=0.5).train(), []
    model.vision_encoder.ln_pre.register_forward_hook(lambda _, args, out: seen.append(out.shape))
    model(batch(1), None, mode='loss')
    assert seen[0] == (4, 3, 16)


def test_the_text_tower_is_frozen_by_default():
    names = {n for n, p in viclip().named_parameters() if p.requires_grad}
    assert not any(name.startswith('text_encoder.') for name in names)
    model = viclip(freeze_text=False)
    model(batch(), None, mode='loss')['loss_vtc'].backward()
    assert all(parameter.grad is not None for parameter in model.parameters())


def test_equal_ids_share_their_probability():
    model, inputs = viclip().eval(), batch()
    alone = model(inputs, samples([1, 2, 3, 4]), mode='loss')['loss_vtc']
    shared = model(inputs, samples([1, 2, 3, 1]), mode='loss')['loss_vtc']
    assert torch.equal(alone, model(inputs, None, mode='loss')['loss_vtc'])
    assert not torch.equal(alone, shared)


def test_the_temperature_is_clamped_before_the_loss():
    model = viclip(temp=0.001, temp_min=0.02)
    model(batch(), None, mode='loss')
    torch.testing.assert_close(model.temp.detach(), torch.tensor(0.02))


def test_gathered_features_get_all_gradients_unless_asked_for_the_published_ones():
    assert viclip().contrastive.gather_gradient == 'sum'
    published = viclip(contrastive=dict(gather_gradient='local'))
    assert published.contrastive.gather_gradient == 'local'


def test_tables_and_embeddings_are_not_decayed():
    assert viclip().no_weight_decay() == {
        'temp',
        'vision_encoder.class_embedding',
        'vision_encoder.positional_embedding',
        'vision_encoder.temporal_positional_embedding',
        'text_encoder.positional_embedding',
        'text_encoder.token_embedding.weight',
    }


@pytest.mark.parametrize(
    ('fields', 'message'),
    [
        (dict(masking_prob=1.0), r'masking_prob must be in \[0, 1\), got 1.0'),
        (dict(masking_prob=-0.1), 'masking_prob'),
        (dict(vision_encoder=VICLIP_VISION | dict(output_dim=None)), 'vision_encoder.output_dim'),
        (dict(vision_encoder=VICLIP_VISION | dict(output_dim=9)), 'video features are 9 wide'),
        (dict(contrastive=dict(gather_gradient='none')), 'gather_gradient'),
    ],
    ids=str,
)
def test_bad_options_are_refused(fields, message):
    with pytest.raises(ValueError, match=message):
        viclip(**fields)


def test_a_batch_without_texts_has_no_loss():
    with pytest.raises(ValueError, match='the batch lacks text'):
        viclip()(dict(video=batch()['video']), None, mode='loss')
    with pytest.raises(ValueError, match='context_length=6'):
        viclip()(dict(text=dict(input_ids=torch.ones(1, 7, dtype=torch.long))))
