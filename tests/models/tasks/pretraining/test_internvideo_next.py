"""Stages of InternVideo-Next: what trains, what is refused, exact resume."""

import copy

import pytest
import torch

from internvideo.models.backbones.internvideo_next import InternVideoNext
from internvideo.models.backbones.siglip import SiglipVision
from internvideo.models.masks.token_masks import visible_indices
from internvideo.models.tasks.pretraining.frame_targets import FrameTargets
from internvideo.models.tasks.pretraining.internvideo_next import (
    InternVideoNextStage1,
    InternVideoNextStage2,
    patch_pixels,
)

BACKBONE = dict(type='InternVideoNext') | InternVideoNext.small()
PREDICTOR = dict(
    hidden_size=32, num_heads=2, intermediate_size=24, layer_ids=(1, 2, 3), global_layer_ids=(3,)
)
DECODER = dict(width=16, depth=1)
TEACHER = dict(
    type='FrameTeacher',
    encoder=dict(type='SiglipVision') | SiglipVision.small(),
    layers=[0, 1],
    init_cfg=None,
    dtype='float32',
)
BLOCKS = [
    dict(type='BlockMask', num_blocks=1, spatial_scale=(0.2, 0.3)),
    dict(type='BlockMask', num_blocks=1, spatial_scale=(0.5, 0.6)),
]


def stage1(**fields):
    torch.manual_seed(0)
    return InternVideoNextStage1(
        **dict(
            backbone=BACKBONE,
            predictor=PREDICTOR,
            decoder=DECODER,
            teacher=TEACHER,
            masker=dict(type='AttentionMask', ratio=0.5),
            clip_layers=dict(count=2),
            align_dim=32,
            align_final_dim=32,
        )
        | fields
    )


def stage2(**fields):
    torch.manual_seed(0)
    return InternVideoNextStage2(
        **dict(backbone=BACKBONE, predictor=PREDICTOR, maskers=BLOCKS) | fields
    )


def clips(seed=0, frames=4, size=28):
    return torch.randn(2, 3, frames, size, size, generator=torch.Generator().manual_seed(seed))


def test_pixels_of_a_patch():
    video = clips()
    found = patch_pixels(video, 14)
    assert found.shape == (2, 16, 588)
    # Patch 1 of frame 2 is the second of the first row.
    assert torch.equal(found[1, 2 * 4 + 1], video[1, :, 2, :14, 14:].flatten())


def test_every_open_parameter_of_stage_one_gets_a_gradient():
    model = stage1()
    losses = model(clips(), mode='loss')
    assert set(losses) == {'loss_clip_middle', 'loss_clip_final', 'loss_diffusion'}
    sum(losses.values()).backward()
    assert not [n for n, p in model.named_parameters() if p.requires_grad and p.grad is None]
    assert not [n for n in model.state_dict() if n.startswith('teacher')]


@pytest.mark.parametrize(
    ('weights', 'closed'),
    [
        (
            dict(diffusion=0.0),
            ('bert_decoder.', 'diffloss.', 'to_bert_proj.', 'diff_pos_embed', 'bert_mask_token'),
        ),
        (dict(clip_middle=0.0), ('clip_decoder.', 'clip_pos_embed')),
        (dict(clip_final=0.0), ('final_clip_decoder.', 'backbone.clip_projector.')),
    ],
    ids=str,
)
def test_parts_without_a_term_are_frozen(weights, closed):
    model = stage1(loss=weights)
    losses = model(clips(), mode='loss')
    (name,) = weights
    assert f'loss_{name}' not in losses and len(losses) == 2
    sum(losses.values()).backward()
    for name, parameter in model.named_parameters():
        is_open = not name.startswith(
            (*closed, 'bert_mask_token') if 'diffloss.' in closed else closed
        )
        assert parameter.requires_grad == is_open
        assert (parameter.grad is not None) == is_open, name


def test_what_is_hidden_reaches_the_loss_as_target_alone():
    """Hidden pixels change the decoder's targets, neither predicted tokens nor aligned ones."""
    model = stage1().eval()
    hidden = torch.zeros(2, 16, dtype=torch.bool)
    hidden[:, ::2] = True
    video = clips()
    found = model.student(video, hidden, 8)
    frames, rows, columns = 4, 2, 2
    pixels = hidden.view(2, 1, frames, rows, columns)
    pixels = pixels.repeat_interleave(14, 3).repeat_interleave(14, 4)
    other = model.student(torch.where(pixels, clips(1), video), hidden, 8)
    assert torch.equal(found.conditions, other.conditions)
    assert torch.equal(found.aligned.clip_final, other.aligned.clip_final)
    assert not torch.equal(found.targets, other.targets)
    expected = patch_pixels(video, 14)[hidden]
    assert torch.equal(found.targets, expected)


def test_removed_patches_of_other_numbers_give_the_numbers_of_each_clip_alone():
    model = stage1().eval()
    hidden = torch.zeros(2, 16, dtype=torch.bool)
    hidden[:, 4:] = True
    removed = torch.zeros_like(hidden)
    removed[0, 5:7], removed[1, 8:14] = True, True
    video = clips()
    whole = model.student(video, hidden, 4, removed)
    parts = [
        model.student(video[i : i + 1], hidden[i : i + 1], 4, removed[i : i + 1]) for i in (0, 1)
    ]
    assert [len(part.conditions) for part in parts] == [10, 6]
    for field in ('conditions', 'targets'):
        expected = torch.cat([getattr(part, field) for part in parts])
        torch.testing.assert_close(getattr(whole, field), expected, rtol=1e-4, atol=1e-5)


def test_the_decoder_may_take_a_share_of_the_patches():
    model, rows = stage1(decoder_share=0.25), []
    model.diffloss.register_forward_pre_hook(lambda module, given: rows.append(len(given[0])))
    model(clips(), mode='loss')
    assert rows == [4]


@pytest.mark.parametrize(
    ('fields', 'word'),
    [
        (dict(align_dim=24), 'width'),
        (dict(align_final_dim=24), 'pooled width'),
        (dict(clip_layers=[1]), 'number of aligned layers'),
        (dict(backbone=BACKBONE | dict(img_size=42)), 'patches of a frame'),
        (dict(backbone=BACKBONE | dict(tubelet_size=2)), 'tubelet_size=1'),
        (dict(backbone=BACKBONE | dict(sep_pos_embed=True)), 'sep_pos_embed=False'),
        (dict(decoder_share=0.0), 'decoder_share'),
        (dict(clip_layers=dict(count=3)), 'aligned layers'),
    ],
    ids=lambda value: value if isinstance(value, str) else '',
)
def test_stage_one_refuses_what_does_not_fit(fields, word):
    with pytest.raises(ValueError, match=word):
        stage1(**fields)


def test_masks_without_visible_patches_and_missing_parts_are_refused():
    model = stage1()
    targets = FrameTargets(2, [torch.zeros(8, 4, 32)] * 2, torch.zeros(8, 32))
    for hides_all, visible in ((True, 0), (False, 16)):
        hidden = torch.full((2, 16), hides_all)
        with pytest.raises(ValueError, match='some patches visible and hide some'):
            model.terms(clips(), hidden, visible, targets)
    with pytest.raises(ValueError, match='teacher and a masker'):
        stage1(masker=None)(clips(), mode='loss')
    with pytest.raises(ValueError, match='no readable clip'):
        model(None, mode='loss')
    with pytest.raises(ValueError, match='mode'):
        model(clips(), mode='predict')


def test_targets_that_are_no_numbers_are_refused():
    video = clips()
    video[0, 0, 0, 0, 0] = float('nan')
    hidden = torch.zeros(2, 16, dtype=torch.bool)
    hidden[:, :8] = True
    targets = FrameTargets(2, [torch.zeros(8, 4, 32)] * 2, torch.zeros(8, 32))
    with pytest.raises(RuntimeError, match='NaN or infinity'):
        stage1().terms(video, hidden, 8, targets)


@pytest.mark.parametrize('quirks', [False, True])
def test_what_is_decayed(quirks):
    names = stage1(published_quirks=quirks).no_weight_decay()
    assert {'backbone.pos_embed', 'backbone.cls_token', 'clip_pos_embed'} <= names
    assert ({'diff_pos_embed', 'bert_mask_token'} <= names) == (not quirks)


# --- second stage --------------------------------------------------------------------------------


def test_every_open_parameter_of_stage_two_gets_a_gradient():
    model = stage2()
    losses = model(clips(size=56), mode='loss')
    assert set(losses) == {'loss_mask0', 'loss_mask1'}
    sum(losses.values()).backward()
    assert not [n for n, p in model.named_parameters() if p.requires_grad != (p.grad is not None)]


def test_the_loss_is_the_distance_of_hidden_latents():
    """One mask, written out place by place."""
    model = stage2(maskers=[dict(type='RandomMask', ratio=0.75)]).eval()
    torch.manual_seed(1)
    found = model(clips(), mode='loss')['loss_mask0']
    torch.manual_seed(1)
    hidden = model.maskers[0](None, 2, (4, 2, 2), 'cpu')
    encoded = model.encode(clips(), hidden, 4)
    made = model.predict(encoded.tokens, visible_indices(hidden, 4), (4, 2, 2)).tokens
    latents, wanted = model.selfdist_decoder(made), model.backbone(clips()).tokens[:, 4:]
    cosines = torch.nn.functional.cosine_similarity(latents, wanted, dim=-1)[hidden]
    torch.testing.assert_close(found, (2 - 2 * cosines).mean())


def test_the_target_starts_as_the_loaded_encoder_and_stays():
    model = stage2()
    with torch.no_grad():  # as a checkpoint does, after the model was built
        for parameter in model.backbone.parameters():
            parameter.add_(0.1)
    model(clips(size=56), mode='loss')
    begun = copy.deepcopy(model.teacher.network.state_dict())
    assert all(torch.equal(begun[n], v) for n, v in model.backbone.state_dict().items())
    with torch.no_grad():
        model.backbone.cls_token.add_(1.0)
    model(clips(size=56), mode='loss')
    assert all(torch.equal(begun[n], v) for n, v in model.teacher.network.state_dict().items())


def test_a_target_with_momentum_follows_in_the_next_step():
    model = stage2(momentum=0.9)
    model(clips(size=56), mode='loss')
    before = model.backbone.cls_token.detach().clone()
    with torch.no_grad():
        model.backbone.cls_token.add_(1.0)
    model(clips(size=56), mode='loss')
    expected = 0.9 * before + 0.1 * (before + 1)
    torch.testing.assert_close(model.teacher.network.cls_token, expected)


def test_the_target_sees_no_stochastic_depth():
    model = stage2(backbone=BACKBONE | dict(drop_path_rate=0.5)).train()
    assert torch.equal(model.target_tokens(clips()), model.target_tokens(clips()))


def run(model, optimizer, steps):
    losses = []
    for step in steps:
        loss = sum(model(clips(step, frames=8, size=56), mode='loss').values())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


def test_a_resumed_run_goes_on_with_the_same_numbers():
    """Target, counters of masks and random numbers: nothing is lost."""
    model = stage2(momentum=0.9)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    torch.manual_seed(3)
    run(model, optimizer, range(2))
    saved = copy.deepcopy((model.state_dict(), optimizer.state_dict(), torch.get_rng_state()))
    expected = run(model, optimizer, range(2, 5))
    resumed = stage2(momentum=0.9)
    optimizer = torch.optim.AdamW(resumed.parameters(), lr=1e-2)
    resumed.load_state_dict(saved[0])
    optimizer.load_state_dict(saved[1])
    torch.set_rng_state(saved[2])
    assert run(resumed, optimizer, range(2, 5)) == expected
    assert [masker.calls for masker in resumed.maskers] == [5, 5]


def test_stage_two_refuses_what_cannot_be():
    with pytest.raises(ValueError, match='needs a masker'):
        stage2(maskers=[])
    with pytest.raises(ValueError, match='momentum'):
        stage2(momentum=1.1)
