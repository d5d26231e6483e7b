"""VideoMAE pretraining: beside transformers' model, its targets, masks, refusals and resuming."""

import pytest
import torch
from mmengine.hooks import Hook
from torch.utils.data import Dataset
from transformers import VideoMAEConfig, VideoMAEForPreTraining

from internvideo.registry import DATASETS, MODELS
from internvideo.structures import VideoDataSample
from tests.engine.small_run import assert_equal_states, final_state, small_config
from tests.engine.small_run import build as build_runner

from .small_models import autoencoder, build

GRID = (2, 2, 2)
PARTS = {
    'backbone.patch_embed.proj': 'videomae.embeddings.patch_embeddings.projection',
    'backbone.norm': 'videomae.layernorm',
    'decoder.norm': 'decoder.norm',
    'decoder.head': 'decoder.head',
    'encoder_to_decoder': 'encoder_to_decoder',
    'backbone.blocks': 'videomae.encoder.layer',
    'decoder.blocks': 'decoder.decoder_layers',
}
BLOCK = {
    'norm1': 'layernorm_before',
    'norm2': 'layernorm_after',
    'attn.proj': 'attention.output.dense',
    'attn.q_bias': 'attention.attention.query.bias',
    'attn.v_bias': 'attention.attention.value.bias',
    'mlp.fc1': 'intermediate.dense',
    'mlp.fc2': 'output.dense',
}


def renamed(name):
    """The name in transformers of one of our entries."""
    start = next((start for start in PARTS if name.startswith(start)), '')
    name = PARTS.get(start, '') + name.removeprefix(start)
    for ours, theirs in BLOCK.items():
        name = name.replace(f'.{ours}', f'.{theirs}')
    return name


def other_state(model):
    """The weights of ``model`` for transformers' VideoMAE."""
    state = {}
    for name, value in model.state_dict().items():
        if name.endswith('attn.qkv.weight'):
            start = renamed(name).removesuffix('attn.qkv.weight')
            for part, piece in zip(('query', 'key', 'value'), value.chunk(3), strict=True):
                state[f'{start}attention.attention.{part}.weight'] = piece
        else:
            state[renamed(name)] = value
    return state


def other_model(model, normalised):
    config = VideoMAEConfig(
        image_size=28,
        patch_size=14,
        num_frames=4,
        hidden_size=20,
        num_hidden_layers=3,
        num_attention_heads=2,
        intermediate_size=40,
        decoder_hidden_size=16,
        decoder_num_hidden_layers=2,
        decoder_num_attention_heads=2,
        decoder_intermediate_size=64,
        layer_norm_eps=1e-6,
        norm_pix_loss=normalised,
        use_mean_pooling=False,
    )
    other = VideoMAEForPreTraining(config)
    report = other.load_state_dict(other_state(model), strict=False)
    assert not report.unexpected_keys and set(report.missing_keys) <= {
        'position_embeddings',
        'videomae.embeddings.position_embeddings',
    }
    return other


@pytest.mark.parametrize('target', ['normalised', 'pixels'])
def test_loss_and_gradients_are_those_of_transformers(target):
    torch.manual_seed(0)
    model = build(autoencoder(target=target))
    other = other_model(model, target == 'normalised')
    video, mask = torch.randn(3, 3, 4, 28, 28), model.draw_mask(torch.empty(3))
    model.draw_mask = lambda _: mask
    loss = model(video, mode='loss')['loss']
    expected = other(video.transpose(1, 2), bool_masked_pos=mask).loss
    torch.testing.assert_close(loss, expected, rtol=1e-5, atol=1e-6)
    loss.backward()
    expected.backward()
    theirs = dict(other.named_parameters())
    for name in ('decoder.head.weight', 'backbone.patch_embed.proj.weight', 'mask_token'):
        ours = dict(model.named_parameters())[name].grad
        torch.testing.assert_close(ours, theirs[renamed(name)].grad, rtol=1e-4, atol=1e-6)


def test_every_parameter_gets_a_gradient_and_views_count_as_clips():
    model = build(autoencoder())
    counts = []
    model.draw_mask = lambda video: (
        counts.append(len(video)) or model.masker(None, len(video), GRID, video.device)
    )
    model(torch.randn(2, 3, 3, 4, 28, 28), mode='loss')['loss'].backward()
    assert counts == [6] and all(p.grad is not None for p in model.parameters())


@pytest.mark.parametrize(
    'masker',
    [
        dict(type='RandomMask', ratio=0.7),
        dict(type='TubeMask', ratio=0.5),
        dict(type='ProgressiveMask', ratio=0.5),
        dict(type='ProgressiveMask', ratio=0.5, centred=True),
        dict(type='BlockMask', num_blocks=1, spatial_scale=(0.3, 0.5)),
    ],
    ids=lambda masker: masker['type'],
)
def test_every_mask_serves(masker):
    model = build(autoencoder(masker=masker))
    assert torch.isfinite(model(torch.randn(2, 3, 4, 28, 28), mode='loss')['loss'])


def test_only_hidden_tubes_are_predicted_and_only_visible_ones_seen():
    model = build(autoencoder()).eval()
    video, mask = torch.randn(2, 3, 4, 28, 28), torch.arange(8).repeat(2, 1) % 2 == 1
    visible, hidden = model.split_tokens(mask)
    features = model.encode(video, visible, hidden)
    prediction = model.decode(features, visible, hidden)
    assert features.shape[1] == 4 and prediction.shape == (2, 4, 3 * 2 * 14 * 14)
    other = video.clone()
    other[..., 14:] = 0  # the right column is hidden
    again = model.decode(model.encode(other, visible, hidden), visible, hidden)
    assert torch.equal(again, prediction)


def test_where_nothing_is_hidden_all_tokens_are_predicted():
    model = build(autoencoder())
    video, mask = torch.randn(2, 3, 4, 28, 28), torch.zeros(2, 8, dtype=torch.bool)
    visible, hidden = model.split_tokens(mask, 8)
    prediction = model.decode(model.encode(video, visible, hidden), visible, hidden)
    assert prediction.shape == model.targets(video, hidden).shape == (2, 8, 1176)


def test_targets_are_pixels_by_the_statistics_of_the_preprocessor():
    preprocessor = dict(
        type='ClipDataPreprocessor', mean=(10.0, 20.0, 30.0), std=(50.0, 60.0, 70.0)
    )
    model = build(autoencoder(data_preprocessor=preprocessor, target='pixels'))
    clip = torch.randint(0, 256, (2, 3, 4, 28, 28), dtype=torch.uint8)
    video = model.data_preprocessor(dict(inputs=clip))['inputs']
    hidden = torch.tensor([[1, 6], [0, 7]])
    targets = model.targets(video, hidden)
    # Frames first, then rows and columns; the channel is last.
    tube = clip[0, :, 2:4, 14:, :14].permute(1, 2, 3, 0).flatten() / 255
    torch.testing.assert_close(targets[0, 1], tube)
    model.target = 'normalised'
    channels = model.targets(video, hidden)[0, 1].unflatten(0, (-1, 3))
    torch.testing.assert_close(channels.mean(0), torch.zeros(3), atol=1e-5, rtol=0)
    torch.testing.assert_close(channels.std(0), torch.ones(3), atol=1e-4, rtol=0)


def test_the_decoder_follows_the_precision_of_the_run():
    model = build(autoencoder())
    with torch.autocast('cpu', torch.bfloat16):
        visible, hidden = model.split_tokens(model.draw_mask(torch.empty(2)))
        video = torch.randn(2, 3, 4, 28, 28)
        prediction = model.decode(model.encode(video, visible, hidden), visible, hidden)
        loss = model(video, mode='loss')['loss']
    assert prediction.dtype == torch.bfloat16 and loss.dtype == torch.float32
    low = model.bfloat16()
    assert low.decode(low.encode(video.bfloat16(), visible, hidden), visible, hidden).dtype == (
        torch.bfloat16
    )


def test_a_reconstruction_keeps_what_is_visible():
    model = build(autoencoder()).eval()
    video = torch.randn(2, 3, 4, 28, 28)
    made = model(video, mode='reconstruct')
    torch.testing.assert_close(made.pixels, model.pixels(video))
    shown = ~made.hidden[:, None].expand_as(video)
    assert shown.float().mean() == 0.5
    assert torch.equal(made.reconstructed[shown], made.pixels[shown])
    assert not torch.allclose(made.reconstructed[~shown], made.pixels[~shown])
    assert made.losses.shape == (2,)


@pytest.mark.parametrize('ratio', [0.0, 1.0, 1.5])
def test_mask_ratios_that_leave_nothing_to_learn_are_named(ratio):
    with pytest.raises(ValueError, match=rf'masker\.ratio={ratio} must lie between 0 and 1'):
        build(autoencoder(masker=dict(type='TubeMask', ratio=ratio)))


@pytest.mark.parametrize('ratio', [None, '0.9'])
def test_a_mask_ratio_that_is_no_number_is_named(ratio):
    with pytest.raises(ValueError, match=rf'mask ratio must be in \[0, 1\), got {ratio!r}'):
        build(autoencoder(masker=dict(type='TubeMask', ratio=ratio)))


def test_a_ratio_that_hides_no_patch_of_this_grid_is_named():
    with pytest.raises(ValueError, match=r'masker\.ratio=0\.2 hides no tube .* of 2 x 2 x 2 tubes'):
        build(autoencoder(masker=dict(type='TubeMask', ratio=0.2)))


def test_odd_frame_counts_are_named():
    model = autoencoder()
    with pytest.raises(ValueError, match='num_frames=5 must be divisible by tubelet_size=2'):
        build(model | dict(backbone=model['backbone'] | dict(num_frames=5)))
    with pytest.raises(ValueError, match='num_frames=4'):
        build(model)(torch.randn(1, 3, 5, 28, 28), mode='loss')


@pytest.mark.parametrize(
    ('fields', 'match'),
    [
        (dict(target='patches'), 'target must be one of normalised, pixels'),
        (dict(backbone=dict(type='InternVideo2', arch='small')), 'has a class token'),
    ],
    ids=['target', 'class token'],
)
def test_parts_that_do_not_go_together_are_named(fields, match):
    with pytest.raises(ValueError, match=match):
        build(autoencoder(**fields))


def test_pixels_need_the_statistics_of_a_preprocessor():
    with pytest.raises(ValueError, match='BaseDataPreprocessor has no mean and std'):
        build(autoencoder(data_preprocessor=None))(torch.randn(1, 3, 4, 28, 28), mode='loss')


def test_a_batch_without_a_clip_and_prediction_are_refused():
    model = build(autoencoder())
    with pytest.raises(ValueError, match='no readable clip'):
        model(None, mode='loss')
    with pytest.raises(ValueError, match='one of loss, tensor, reconstruct'):
        model(torch.randn(1, 3, 4, 28, 28), mode='predict')


def test_tokens_and_tables_are_not_decayed():
    config = autoencoder()
    model = build(config | dict(backbone=config['backbone'] | dict(pos_embed='learned')))
    assert model.no_weight_decay() == {'mask_token', 'backbone.pos_embed'}


@DATASETS.register_module(force=True)
class NoiseClips(Dataset):
    """Clips drawn from their own numbers, in two views."""

    def __len__(self):
        return 24

    def set_seed(self, seed):
        self.seed = seed

    def __getitem__(self, index):
        epoch, row = index if isinstance(index, tuple) else (0, index)
        generator = torch.Generator().manual_seed(1000 * epoch + row)
        clip = torch.randint(0, 256, (2, 3, 4, 28, 28), generator=generator, dtype=torch.uint8)
        return dict(inputs=clip, data_samples=VideoDataSample(metainfo=dict(sample_index=row)))


@MODELS.register_module(force=True)
class StackingPreprocessor(MODELS.get('ClipDataPreprocessor')):
    def forward(self, data, training=False):
        return super().forward(data | dict(inputs=torch.stack(list(data['inputs']))), training)


class Stop(Hook):
    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        if runner.iter == 4:
            raise InterruptedError


def run_config(work_dir, **changes):
    config = small_config(work_dir, log_level='ERROR', **changes)
    config.model = autoencoder(data_preprocessor=dict(type='StackingPreprocessor'))
    config.train_dataloader.dataset = dict(type='NoiseClips')
    for part in ('dataloader', 'evaluator', 'cfg'):
        config[f'val_{part}'] = config[f'test_{part}'] = None
    config.default_hooks.checkpoint = dict(type='CheckpointHook', interval_iters=1)
    return config


def test_an_interrupted_run_ends_bitwise_like_one_that_was_not(tmp_path):
    build_runner(run_config(tmp_path / 'whole')).train()
    broken = build_runner(run_config(tmp_path / 'broken'))
    broken.register_hook(Stop())
    with pytest.raises(InterruptedError):
        broken.train()
    build_runner(run_config(tmp_path / 'broken', resume='auto')).train()
    assert_equal_states(final_state(tmp_path / 'broken'), final_state(tmp_path / 'whole'))
