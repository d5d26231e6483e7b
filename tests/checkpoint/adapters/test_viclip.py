"""Files of ViCLIP: released layouts, tables of other lengths, the start from CLIP, WiSE-FT."""

import json

import pytest
import torch
from mmengine.config import ConfigDict

from internvideo.checkpoint import LoadReport, load_checkpoint, load_pretrained
from internvideo.checkpoint.adapters.viclip import TEXT_TABLE, TIME_TABLE, ViCLIPAdapter, fit_rows
from internvideo.checkpoint.files import write_state_dict
from internvideo.checkpoint.report import CheckpointMismatchError
from internvideo.registry import MODELS
from tests.models.tasks.retrieval.small_models import CLIP_TEXT, VICLIP_VISION, viclip
from tests.paths import PARITY

FOLDER = PARITY / 'internvideo1_pretrain'
SIZES = {
    'b16': (dict(), dict()),
    'l14': (
        dict(arch='large', patch_size=14, output_dim=768),
        dict(embed_dim=768, width=768, heads=12),
    ),
}


def shapes(state):
    return {name: tuple(tensor.shape) for name, tensor in state.items()}


@pytest.mark.parametrize('size', SIZES)
def test_released_files_fit_both_ways(size):
    content = json.loads((FOLDER / f'viclip_{size}.manifest.json').read_text())
    published = {name: torch.empty(shape, device='meta') for name, shape, _ in content['state']}
    vision, text = SIZES[size]
    with torch.device('meta'):
        model = MODELS.build(
            dict(
                type='ViCLIP',
                vision_encoder=dict(type='ViCLIPVision') | vision,
                text_encoder=dict(type='CLIPText', context_length=32) | text,
            )
        )
    assert sum(parameter.numel() for parameter in model.parameters()) == content['params']
    adapter, report = ViCLIPAdapter(), LoadReport()
    assert shapes(adapter.to_ours(published, model, report)) == shapes(model.state_dict())
    assert not (report.reshaped or report.new or report.left_over)
    assert shapes(adapter.to_published(model.state_dict())) == shapes(published)


@pytest.fixture
def released(tmp_path):
    """A file of a small ViCLIP whose every entry differs from those of a new model."""
    state = {name: tensor + 1 for name, tensor in viclip().state_dict().items()}
    return write_state_dict(state, tmp_path / 'viclip.pth', container='model')


def longer(**fields):
    return viclip(
        vision_encoder=VICLIP_VISION | dict(num_frames=fields.pop('num_frames', 4)),
        text_encoder=CLIP_TEXT | dict(context_length=fields.pop('context_length', 6)),
        **fields,
    )


def read(path):
    return torch.load(path, weights_only=True)['model']


def test_shorter_models_take_the_first_rows(released):
    model = longer(num_frames=3, context_length=4)
    report = load_pretrained(model, released, 'viclip')
    state, file = model.state_dict(), read(released)
    assert torch.equal(state[TIME_TABLE], file[TIME_TABLE][:, :3])
    assert torch.equal(state[TEXT_TABLE], file[TEXT_TABLE][:4])
    assert set(report.reshaped) == {TIME_TABLE, TEXT_TABLE}


def test_longer_models_take_interpolated_rows(released):
    model = longer(num_frames=8, context_length=12)
    load_checkpoint_of(model, released)
    table, file = model.state_dict()[TIME_TABLE][0], read(released)[TIME_TABLE][0]
    torch.testing.assert_close(table[0], file[0])
    torch.testing.assert_close(table[1], 0.75 * file[0] + 0.25 * file[1])
    assert torch.equal(fit_rows(file, 4), file)


def load_checkpoint_of(model, path, **init):
    """Load as ``tools/test.py CONFIG CHECKPOINT`` does."""
    model.init_cfg = ConfigDict(type='Published', checkpoint='other.pth', adapter='viclip', **init)
    return load_checkpoint(model, path)


def test_a_finer_grid_takes_interpolated_positions(released):
    model = viclip(vision_encoder=VICLIP_VISION | dict(img_size=56))
    report = load_pretrained(model, released, 'viclip')
    assert report.reshaped['vision_encoder.positional_embedding'] == ((5, 16), (17, 16))


def test_a_tower_without_temporal_table_leaves_it(released):
    model = viclip(vision_encoder=VICLIP_VISION | dict(temporal_embedding=False))
    assert load_pretrained(model, released, 'viclip').left_over == [TIME_TABLE]


@pytest.mark.parametrize(
    ('fields', 'reason'),
    [
        (
            dict(vision_encoder=VICLIP_VISION | dict(arch=dict(
                embed_dim=32, depth=2, num_heads=2, mlp_ratio=2
            ))),
            'embed_dim=16, depth=2, the model has embed_dim=32',
        ),
        (
            dict(vision_encoder=VICLIP_VISION | dict(arch=dict(
                embed_dim=16, depth=3, num_heads=2, mlp_ratio=2
            ))),
            'missing in the checkpoint: vision_encoder.transformer',
        ),
        (dict(text_encoder=CLIP_TEXT | dict(vocab_size=30)), 'token_embedding.weight 20x16'),
        (dict(vision_encoder=VICLIP_VISION | dict(tubelet_size=2)), 'another patch'),
    ],
)  # fmt: skip
def test_another_model_is_refused_and_left_alone(released, fields, reason):
    model = viclip(**fields)
    before = model.vision_encoder.ln_pre.weight.clone()
    with pytest.raises(CheckpointMismatchError, match=reason):
        load_pretrained(model, released, 'viclip')
    assert torch.equal(model.vision_encoder.ln_pre.weight, before)


# --- CLIP, where training starts -----------------------------------------------------------------


def openai_clip(width=16, text_width=16):
    from open_clip.model import CLIP, CLIPTextCfg, CLIPVisionCfg

    torch.manual_seed(1)
    vision = CLIPVisionCfg(
        layers=2, width=width, head_width=8, mlp_ratio=2.0, patch_size=14, image_size=28
    )
    text = CLIPTextCfg(context_length=9, vocab_size=20, width=text_width, heads=2, layers=1)
    return CLIP(embed_dim=8, vision_cfg=vision, text_cfg=text, quick_gelu=True).eval()


@pytest.fixture
def clip_file(tmp_path):
    def write(name='clip.pth', **sizes):
        state = openai_clip(**sizes).state_dict()
        return write_state_dict(
            {k: v for k, v in state.items() if k != 'attn_mask'}, tmp_path / name
        )

    return write


@torch.no_grad()
def test_training_starts_as_clip_on_images_and_texts(clip_file):
    model, clip = viclip().eval(), openai_clip()
    report = load_pretrained(model, clip_file(), 'clip')
    assert report.new == ['temp', TIME_TABLE]
    assert report.reshaped[TEXT_TABLE] == ((9, 16), (6, 16))
    assert not model.vision_encoder.temporal_positional_embedding.any()
    image = torch.randn(2, 3, 28, 28)
    seen = model.encode_video(image[:, :, None])
    torch.testing.assert_close(seen, clip.encode_image(image), rtol=1e-4, atol=1e-5)
    ids = torch.tensor([[18, 3, 5, 19, 0, 0], [18, 1, 2, 3, 4, 19]])
    padded = torch.nn.functional.pad(ids, (0, 3))
    torch.testing.assert_close(
        model.encode_text(ids), clip.encode_text(padded), rtol=1e-4, atol=1e-5
    )


@torch.no_grad()
@pytest.mark.parametrize('given', ['init_cfg', 'checkpoint'])
def test_wise_ft_is_the_mean_of_both_files(released, clip_file, given):
    model, start = viclip(), viclip()
    load_pretrained(start, clip_file(), 'clip')
    wise = dict(checkpoint=str(clip_file()), coef=0.25)
    if given == 'init_cfg':
        report = load_pretrained(model, released, 'viclip', wise_ft=wise)
        assert 'WiSE-FT' in str(report) and 'clip.pth' in str(report)
    else:  # what the config says holds for a file that is named on the command line, too
        load_checkpoint_of(model, released, wise_ft=wise)
    file, clip, found = read(released), start.state_dict(), model.state_dict()
    assert all(torch.equal(found[name], file[name]) for name in (TIME_TABLE, 'temp'))
    for name in found.keys() - {TIME_TABLE, 'temp'}:
        torch.testing.assert_close(found[name], 0.25 * file[name] + 0.75 * clip[name])


@pytest.mark.parametrize(
    ('wise', 'message'),
    [
        (dict(coef=0.5), 'checkpoint must be given'),
        (dict(checkpoint='x.pth', alpha=0.5), 'wise_ft is a dictionary of checkpoint, coef'),
        (dict(checkpoint='x.pth', coef=1.5), r'wise_ft.coef must be in \[0, 1\]'),
        (dict(exclude=['vision_encoder.time']), 'wise_ft.exclude: the model has no vision_enc'),
        (dict(checkpoint='absent.pth'), 'absent.pth'),
        (dict(sizes=dict(width=32)), 'is a CLIP of other sizes than the model'),
        (dict(sizes=dict(text_width=32)), 'is a CLIP of other sizes than the model'),
    ],
    ids=str,
)
def test_wise_ft_refuses(released, clip_file, wise, message):
    if 'sizes' in wise:
        wise = dict(checkpoint=clip_file(**wise['sizes']))
    elif 'exclude' in wise:
        wise = wise | dict(checkpoint=clip_file())
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        load_pretrained(viclip(), released, 'viclip', wise_ft=wise)


@pytest.mark.parametrize('sizes', [dict(width=32), dict(text_width=32)])
def test_a_clip_of_another_width_starts_no_training(clip_file, sizes):
    with pytest.raises(CheckpointMismatchError, match='of another shape'):
        load_pretrained(viclip(), clip_file(**sizes), 'clip')
