"""The multimodal model: towers, objectives, momentum, captions and bad input."""

import math

import pytest
import torch

from internvideo.registry import MODELS
from internvideo.structures import VideoDataSample
from tests.processes import in_processes

VISION = dict(
    type='UniFormerV2',
    arch=dict(embed_dim=24, depth=2, num_heads=2, mlp_ratio=2.0),
    img_size=16,
    patch_size=8,
    num_frames=2,
    mlp_dropout=0.0,
)
TEXT = dict(
    type='CLIPText',
    embed_dim=12,
    context_length=8,
    vocab_size=40,
    width=16,
    heads=2,
    layers=1,
    mask_embedding=True,
)
DECODER = dict(width=16, vision_width=24, n_layers=1, heads=2, num_visual_queries=3, vocab_size=40)
IDS = torch.tensor(
    [
        [38, 3, 39, 0, 0, 0, 0, 0],
        [38, 4, 5, 39, 0, 0, 0, 0],
        [38, 1, 2, 3, 4, 5, 6, 39],
        [38, 9, 39, 0, 0, 0, 0, 0],
    ]
)
QUEUE = dict(queue_size=8)


def build(**fields):
    torch.manual_seed(0)
    config = dict(vision_encoder=VISION, text_encoder=TEXT, caption_decoder=DECODER)
    return MODELS.build(dict(type='InternVideoMultimodal') | config | fields)


def batch(size=4, frames=2, seed=0):
    generator = torch.Generator().manual_seed(seed)
    video = torch.randn(size, 3, frames, 16, 16, generator=generator)
    return dict(video=video, text=dict(input_ids=IDS[:size]))


def test_both_objectives_reach_every_part():
    model = build()
    losses = model(batch(), mode='loss')
    assert set(losses) == {'loss_contrastive', 'loss_caption'}
    sum(losses.values()).backward()
    assert lost_parameters(model) == []
    closed = [name for name, p in model.named_parameters() if not p.requires_grad]
    assert closed == ['text_encoder.text_mask_embedding']


def lost_parameters(model):
    """Trainable parameters without gradient, on which DDP would wait."""
    return [n for n, p in model.named_parameters() if p.requires_grad and p.grad is None]


def test_a_decoder_that_no_loss_asks_does_not_hold_up_ddp():
    model = build(loss_weights=dict(caption=0.0))
    sum(model(batch(), mode='loss').values()).backward()
    assert lost_parameters(model) == []


@pytest.mark.parametrize(
    ('fields', 'names'),
    [
        (dict(loss_weights=dict(caption=0.0)), {'loss_contrastive'}),
        (dict(loss_weights=dict(contrastive=0.0)), {'loss_caption'}),
        (dict(caption_decoder=None), {'loss_contrastive'}),
    ],
    ids=str,
)
def test_objectives_can_be_left_out(fields, names):
    assert set(build(**fields)(batch(), mode='loss')) == names


def test_weights_scale_the_terms():
    plain = build()(batch(), mode='loss')
    weighted = build(loss_weights=dict(caption=2.0))(batch(), mode='loss')
    torch.testing.assert_close(weighted['loss_caption'], 2 * plain['loss_caption'])
    torch.testing.assert_close(weighted['loss_contrastive'], plain['loss_contrastive'])


@pytest.mark.parametrize(('start', 'kept'), [(9.0, math.log(100)), (-1.0, 0.0), (2.0, 2.0)])
def test_the_scale_stays_in_its_range(start, kept):
    model = build(logit_scale=start)
    model(batch(), mode='loss')
    assert float(model.logit_scale.detach()) == pytest.approx(kept)


def test_frames_are_clips_of_their_own_as_images():
    model = build(video_mode='image').eval()
    video = batch(frames=2)['video']
    features, tokens = model.video_states(video)
    assert features.shape == (8, 12) and tokens.shape == (8, 1, 5, 24)
    alone = model.video_states(video[1:2, :, 1:], mode='video')[0]
    torch.testing.assert_close(features[3:4], alone)


def test_features_and_data_samples():
    model = build().eval()
    features = model(batch())
    assert features['vision'].shape == features['text'].shape == (4, 12)
    found = model(batch(), [VideoDataSample() for _ in range(4)], mode='predict')
    wanted = features['vision'][2] / features['vision'][2].norm()
    torch.testing.assert_close(found[2].vision_feature, wanted.detach())
    assert model.temperature == pytest.approx(0.07)


def test_masked_words_are_replaced_before_positions():
    model = build().eval()
    masked = torch.zeros_like(IDS, dtype=torch.bool)
    masked[1, 2] = True
    changed = (model.text_states(IDS, masked)[0] != model.text_states(IDS)[0]).any(dim=1)
    assert changed.tolist() == [False, True, False, False]


def test_captions_are_written_for_every_clip():
    model = build().eval()
    ids = model.generate(batch()['video'], max_length=5)
    assert ids.shape[0] == 4 and ids.shape[1] <= 5 and (ids[:, 0] == 38).all()


def test_captions_and_pairs_are_learned():
    model, given = build(), batch()
    optimiser = torch.optim.Adam(model.parameters(), lr=5e-3)
    for _ in range(60):
        optimiser.zero_grad()
        sum(model(given, mode='loss').values()).backward()
        optimiser.step()
    model.eval()
    ids = model.generate(given['video'])
    assert torch.equal(ids, IDS[:, : ids.shape[1]])
    features = model(given)
    units = {name: torch.nn.functional.normalize(x, dim=-1) for name, x in features.items()}
    found = (units['vision'] @ units['text'].T).argmax(dim=1)
    assert found.tolist() == [0, 1, 2, 3]


def test_momentum_towers_begin_as_the_towers_and_follow():
    model = build(queue=QUEUE, momentum=0.9)
    # As after loading: the towers have other weights than when they were built.
    torch.nn.init.normal_(model.visual_proj, generator=torch.Generator().manual_seed(7))
    first = model(batch(), mode='loss')['loss_contrastive']
    torch.testing.assert_close(first, build_like(model)(batch(), mode='loss')['loss_contrastive'])
    target, old = model.momentum_towers.network.visual_proj, model.visual_proj.detach().clone()
    assert torch.equal(target, old) and not target.requires_grad
    model.visual_proj.data += 1
    model(batch(seed=1), mode='loss')
    torch.testing.assert_close(target, old + 0.1)
    assert int(model.queued.num_enqueued) == 8


def build_like(model):
    """The same model without a queue."""
    plain = build()
    own = plain.state_dict()
    plain.load_state_dict({name: v for name, v in model.state_dict().items() if name in own})
    return plain


def test_momentum_training_is_resumed_bit_by_bit():
    def step(model, optimiser, seed):
        optimiser.zero_grad()
        sum(model(batch(seed=seed), mode='loss').values()).backward()
        optimiser.step()

    def start():
        model = build(queue=QUEUE, momentum=0.9)
        return model, torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.1)

    whole, optimiser = start()
    for seed in range(4):
        step(whole, optimiser, seed)
        if seed == 1:
            saved = {name: value.clone() for name, value in whole.state_dict().items()}
    resumed, optimiser = start()
    resumed.load_state_dict(saved)
    for seed in (2, 3):
        step(resumed, optimiser, seed)
    for name, value in whole.state_dict().items():
        assert torch.equal(resumed.state_dict()[name], value), name


def share_of_step(rank):
    model = build(queue=QUEUE)
    whole = batch()
    share = dict(
        video=whole['video'].chunk(2)[rank],
        text=dict(input_ids=whole['text']['input_ids'].chunk(2)[rank]),
    )
    losses = model(share, mode='loss')
    return float(losses['loss_contrastive'].detach()), model.queued.first_queue


@pytest.mark.slow
def test_every_process_enqueues_the_keys_of_all():
    model = build(queue=QUEUE)
    loss = float(model(batch(), mode='loss')['loss_contrastive'].detach())
    for value, queue in in_processes(2, share_of_step):
        assert value == pytest.approx(loss, rel=1e-5)
        torch.testing.assert_close(queue, model.queued.first_queue)


def test_embeddings_and_scales_are_not_decayed():
    names = build().no_weight_decay()
    assert {
        'logit_scale',
        'vision_encoder.class_embedding',
        'text_encoder.token_embedding.weight',
        'caption_decoder.visual_queries',
    } <= names


LONG = dict(video=None, text=dict(input_ids=torch.ones(1, 9, dtype=torch.long)))


@pytest.mark.parametrize(
    ('call', 'message'),
    [
        (lambda: build()(dict(video=batch()['video']), mode='loss'), 'lacks text'),
        (lambda: build()({}), 'nothing readable'),
        (lambda: build()(batch(), mode='train'), "mode must be .*'train'"),
        (lambda: build()(LONG), 'texts of 9 tokens are longer than context_length=8'),
        (lambda: build(video_mode='frames'), "video_mode must be one of video, image, got 'fr"),
        (lambda: build(loss_weights=dict(matching=1.0)), 'loss_weights must be of contrastive'),
        (
            lambda: build(loss_weights=dict(contrastive=0, caption=0)),
            'caption.* leaves nothing to train',
        ),
        (
            lambda: build(caption_decoder=None, loss_weights=dict(contrastive=0)),
            'leaves nothing to train: without caption_decoder',
        ),
        (
            lambda: build(video_mode='image')(batch(frames=2), mode='loss'),
            "clips of 2 frames are 2 images each in video_mode='image'",
        ),
        (
            lambda: build(caption_decoder=DECODER | dict(vocab_size=41)),
            'caption_decoder.vocab_size=41 does not fit the text tower, which has 40',
        ),
        (
            lambda: build(caption_decoder=DECODER | dict(vision_width=16)),
            'caption_decoder.vision_width=16 does not fit the video encoder, which has 24',
        ),
        (lambda: build(caption_decoder=DECODER | dict(width=32)), 'decoder.width=32 does not fit'),
        (lambda: build(caption_decoder=None).generate(batch()['video']), 'no caption_decoder'),
        (lambda: build().generate(batch()['video'], 9), 'max_length=9 is more than'),
        (
            lambda: build(queue=dict(queue_size=6))(batch(), mode='loss'),
            'queue_size=6 is not divisible by the global batch of 4',
        ),
    ],
)
def test_bad_input_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()
