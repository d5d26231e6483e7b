"""The stage-2 model: objectives, masks, captions, segments, freezing, processes and bad input."""

import pytest
import torch
import torch.nn.functional as F

from internvideo.models.losses.masked_language import MaskingDraws
from internvideo.models.losses.matching import Negatives
from internvideo.registry import MODELS
from internvideo.structures import VideoDataSample
from tests.models.tasks.retrieval.small_models import AUDIO, batch, samples, stage2, stage2_audio
from tests.processes import in_processes

VISUAL = {'loss_vtc', 'loss_vtm', 'loss_mlm'}
CONTRASTIVE = {'loss_vtc', 'loss_atc', 'loss_avc', 'loss_avtc'}


class FixedNegatives:
    """The next pair of the batch is the negative."""

    def __call__(self, media, text, temp, ids):
        following = torch.arange(len(text)).roll(-1)
        return Negatives(following, following, torch.ones(len(text), dtype=torch.bool))


class FixedTokens:
    """The second and fourth token of every text are hidden."""

    def __init__(self, masker):
        self.masker = masker

    def __call__(self, ids):
        flags = torch.zeros_like(ids)
        flags[:, [1, 3]] = 1
        return self.masker(ids, MaskingDraws(flags, flags, flags, flags))


def deterministic(model):
    model.negative_sampler, model.token_masker = FixedNegatives(), FixedTokens(model.token_masker)
    return model.eval()


@pytest.mark.parametrize('frames', [1, 2])
def test_every_objective_reaches_what_it_trains(frames):
    model = stage2()
    model.init_weights()
    losses = model(batch(frames=frames), samples([1, 2, 3, 1]), mode='loss')
    assert losses.keys() == VISUAL
    sum(losses.values()).backward()
    idle = [name for name, p in model.named_parameters() if p.grad is None]
    assert idle == []


@pytest.mark.parametrize('kind', ['', '_visual', '_audiovisual'])
def test_published_names_are_known(kind):
    assert MODELS.get(f'InternVideo2_Stage2{kind}') is MODELS.get('InternVideo2Stage2')


def test_audio_and_video_have_all_pairings():
    losses = stage2_audio()(batch(audio=True), samples([1, 2, 3, 4]), mode='loss')
    pairings = {'loss_atc', 'loss_avc', 'loss_avtc', 'loss_atm', 'loss_avtm', 'loss_amlm'}
    assert losses.keys() == VISUAL | pairings | {'loss_avmlm'}
    assert all(loss.isfinite() for loss in losses.values())


@pytest.mark.parametrize(
    ('weights', 'expected'),
    [
        (dict(atc=1, mlm=1, amlm=0.5), ('loss_atc', 'loss_amlm')),
        (dict(atc=1, amlm=0.5), ('loss_atc',)),
    ],
    ids=str,  # names must not come from sets, whose order differs between the tests' processes
)
def test_audio_alone_is_gated_as_published(weights, expected):
    inputs = batch(audio=True) | dict(video=None)
    losses = stage2_audio(loss_weights=weights)(inputs, samples([1, 2, 3, 4]), mode='loss')
    assert losses.keys() == set(expected)


def test_each_objective_reads_its_kind_of_caption():
    model = stage2(loss_captions=dict(vtc='short', vtm='long', mlm='long'))
    kinds = dict(short=batch(seed=1)['text'], long=batch(seed=2)['text'])
    both = deterministic(model)(batch() | dict(text=kinds), None, mode='loss')
    for kind, names in (('short', ['loss_vtc']), ('long', ['loss_vtm', 'loss_mlm'])):
        alone = model(batch() | dict(text=kinds[kind]), None, mode='loss')
        for name in names:
            torch.testing.assert_close(both[name], alone[name])


def test_masked_training_shows_fewer_tokens():
    model = stage2(
        video_masker=dict(type='RandomMask', ratio=0.5),
        image_masker=dict(type='TubeMask', ratio=0.25),
    )
    for frames, visible in ((2, 4), (1, 3)):
        video = batch(frames=frames)['video']
        assert model._train_video(video, None)[0].tokens.shape[1] == 1 + visible
        assert model.encode_video(video).tokens.shape[1] == 1 + 4 * frames


def teacher(final_dim):
    arch = dict(embed_dim=16, depth=1, num_heads=2, mlp_ratio=2)
    encoder = dict(type='InternVLVision', arch=arch, img_size=28, attn_pool_num_heads=2)
    encoder['clip_embed_dim'] = final_dim
    clip = dict(encoder=encoder, layers=[0], init_cfg=None, dtype=None)
    return dict(type='InlineTeachers', clip=clip)


def test_alignment_of_images_only():
    model = stage2(
        neck=dict(type='AlignmentNeck', clip_dim=16, clip_final_dim=6),
        clip_layers=[1],
        targets=teacher(6),
        image_masker=dict(type='AttentionMask', ratio=0.5),
        video_masker=dict(type='RandomMask', ratio=0.5),
        uta_image_only=True,
        loss_weights=dict(vtc=1, uta=1),
    )
    assert model(batch(frames=1), None, mode='loss').keys() == {'loss_uta', 'loss_vtc'}
    assert model(batch(frames=2), None, mode='loss').keys() == {'loss_vtc'}
    assert not any('teacher' in name or 'targets' in name for name in model.state_dict())


def test_without_a_final_decoder_the_pooled_vector_itself_is_aligned():
    model = stage2(
        neck=dict(type='AlignmentNeck', clip_dim=16, clip_final_dim=0),
        clip_layers=[1],
        targets=teacher(12),
        loss_weights=dict(uta=1),
    ).eval()
    video = batch()['video']
    model.alignment.weights['clip_final'] = 0.0
    middle = model(dict(video=video), None, mode='loss')['loss_uta']
    model.alignment.weights['clip_final'] = 1.0
    whole = model(dict(video=video), None, mode='loss')['loss_uta']
    pooled = model.vision_encoder(video).pooled
    final = F.normalize(model.targets(video, None, final=True, attn=False).clip_final, dim=-1)
    torch.testing.assert_close(whole - middle, 2 - 2 * (pooled * final).sum(-1).mean())


def test_segments_are_averaged():
    model = stage2_audio(num_test_segments=2).eval()
    video = batch(frames=4)['video']
    parts = [model.encode_video(video[:, :, s::2]) for s in range(2)]
    model.num_test_segments = 1
    parts = [model.encode_video(video[:, :, s::2]) for s in range(2)]
    model.num_test_segments = 2
    whole = model.encode_video(video)
    torch.testing.assert_close(whole.tokens, (parts[0].tokens + parts[1].tokens) / 2)
    torch.testing.assert_close(whole.feature, (parts[0].feature + parts[1].feature) / 2)


def test_match_scores_are_those_of_single_pairs():
    model, inputs = stage2().eval(), batch()
    encoded = model(inputs)
    media, texts = torch.tensor([0, 2, 2]), torch.tensor([1, 1, 3])
    together = model.match_scores(encoded['vision'], encoded['text'], media, texts, 'vision')
    alone = [
        model.match_scores(encoded['vision'], encoded['text'], m[None], t[None], 'vision')
        for m, t in zip(media, texts, strict=True)
    ]
    torch.testing.assert_close(together, torch.cat(alone))


def test_predict_fills_the_data_samples():
    found = stage2()(batch(), samples([1, 2, 3, 4]), mode='predict')
    torch.testing.assert_close(found[2].vision_feature.norm(), torch.tensor(1.0))
    assert found[2].text_feature.shape == (10,)


def test_frozen_parts_neither_learn_nor_change_mode():
    model = stage2_audio(freeze=['vision', 'audio'], unfreeze_keys=['clip_projector']).train()
    learning = {name for name, p in model.named_parameters() if p.requires_grad}
    vision = {name for name in learning if name.startswith('vision_encoder.')}
    assert vision and all('clip_projector' in name for name in vision)
    assert not any(name.startswith('audio_encoder.') for name in learning)
    assert not model.audio_encoder.training and not model.vision_encoder.blocks[0].training
    assert model.vision_encoder.clip_projector.training and model.text_encoder.training


@pytest.mark.parametrize(
    ('keys', 'learning'), [((), ()), (['vision_encoder.clip_decoder'], ('clip_decoder.',))], ids=str
)
def test_decoders_are_frozen_with_the_tower_that_files_keep_them_in(keys, learning):
    neck = dict(type='AlignmentNeck', clip_dim=16, clip_final_dim=6)
    model = stage2(neck=neck, clip_layers=[1], freeze=['vision'], unfreeze_keys=keys).train()
    for name, parameter in model.neck.named_parameters():
        assert parameter.requires_grad == name.startswith(learning)
    assert not model.neck.final_clip_decoder.training
    assert not any(p.requires_grad for p in model.vision_encoder.parameters())


def test_the_temperature_is_kept_in_its_range():
    model = stage2(temp=0.9)
    model(batch(), None, mode='loss')
    torch.testing.assert_close(model.temp.detach(), torch.tensor(0.5))


def losses_of_share(rank):
    """Losses and one gradient of a process that holds half of the batch."""
    torch.manual_seed(0)
    model = deterministic(stage2_audio(contrastive=dict(gather_gradient='sum')))
    rows = slice(2 * rank, 2 * rank + 2)
    whole = batch(audio=True)
    inputs = {name: whole[name][rows] for name in ('video', 'audio')}
    inputs['text'] = {name: value[rows] for name, value in whole['text'].items()}
    losses = model(inputs, samples([5, 6, 5, 7])[rows], mode='loss')
    sum(losses.values()).backward()
    grad = model.vision_proj.weight.grad.numpy()
    return {name: loss.item() for name, loss in losses.items()}, grad


@pytest.mark.slow
def test_two_processes_equal_one():
    torch.manual_seed(0)
    model = deterministic(stage2_audio())
    inputs, ids = batch(audio=True), samples([5, 6, 5, 7])
    shares = in_processes(2, losses_of_share)
    whole = model(inputs, ids, mode='loss')
    for share, _ in shares:
        for name in CONTRASTIVE:
            torch.testing.assert_close(torch.tensor(share[name]), whole[name].detach())
    sum(whole[name] for name in CONTRASTIVE).backward()
    # Matching and token prediction stay within a process: the mean over halves.
    for rank, (share, _) in enumerate(shares):
        half = losses_of_half(model, inputs, ids, rank)
        for name in half.keys() - CONTRASTIVE:
            torch.testing.assert_close(torch.tensor(share[name]), half[name].detach())
        sum(half[name] / 2 for name in half.keys() - CONTRASTIVE).backward()
    averaged = torch.as_tensor(sum(grad for _, grad in shares)) / 2
    torch.testing.assert_close(averaged, model.vision_proj.weight.grad, rtol=1e-4, atol=1e-5)


def losses_of_half(model, inputs, ids, rank):
    rows = slice(2 * rank, 2 * rank + 2)
    half = {name: inputs[name][rows] for name in ('video', 'audio')}
    half['text'] = {name: value[rows] for name, value in inputs['text'].items()}
    return model(half, ids[rows], mode='loss')


@pytest.mark.parametrize(
    ('build', 'message'),
    [
        (lambda: stage2(loss_weights=dict(vtx=1)), 'loss_weights must be'),
        (lambda: stage2(loss_weights=dict(vtc=-1)), 'not negative'),
        (lambda: stage2(loss_weights=dict(atm=1)), 'atm need audio_encoder'),
        (lambda: stage2(loss_weights=dict(uta=1)), 'uta needs targets and a neck'),
        (lambda: stage2(audio_encoder=AUDIO), 'audio_encoder needs av_concat_dim'),
        (lambda: stage2(freeze=['sight']), 'freeze must be of vision, audio, text'),
        (lambda: stage2(text_encoder=dict(type='FusionBert', arch='base')), 'FusionBertForMask'),
    ],
)
def test_bad_configs_are_named(build, message):
    with pytest.raises(ValueError, match=message):
        build()


@pytest.mark.parametrize(
    ('call', 'message'),
    [
        (lambda m: m(None, None, mode='loss'), 'nothing readable'),
        (lambda m: m(batch(), None, mode='train'), "mode must be .*'train'"),
        (lambda m: m(batch() | dict(text=None), None, mode='loss'), 'needs captions of kind None'),
        (
            lambda m: m(batch(), [*samples([1, 2, 3]), VideoDataSample()], mode='loss'),
            'some have none',
        ),
        (lambda m: m.encode_audio(torch.zeros(1, 32, 16)), 'no audio_encoder'),
        (lambda m: m(dict(video=torch.zeros(1, 3, 3, 28, 28))), 'num_frames=2'),
    ],
)
def test_bad_batches_are_named(call, message):
    with pytest.raises(ValueError, match=message):
        call(stage2())
