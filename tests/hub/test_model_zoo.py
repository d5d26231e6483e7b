import subprocess
import sys
from pathlib import Path

import pytest
import torch
import yaml

from internvideo.apis import get_config, get_model, list_models
from internvideo.hub.model_zoo import configs_root, zoo


def test_leaf_configs_and_published_names_are_listed() -> None:
    names = list_models()
    assert 'internvideo2/S14_k400' in names
    assert 'internvideo2_small_patch14_224' in names
    assert not [name for name in names if name.startswith('_base_')]
    assert set(list_models('k710')) == set(list_models('*k710*')) < set(names)


def test_listing_models_imports_no_torch() -> None:
    code = 'import sys; from internvideo.apis import list_models; list_models(); '
    code += 'sys.exit("torch" in sys.modules)'
    assert subprocess.run([sys.executable, '-c', code], check=False).returncode == 0


def test_metafile_names_real_configs_and_the_table_agrees() -> None:
    root = configs_root().parent
    rows = yaml.safe_load((root / 'configs/internvideo2/metafile.yml').read_text())['Models']
    table = (root / 'docs/model_zoo.md').read_text()
    assert len({row['Name'] for row in rows}) == len(rows)
    for row in rows:
        assert (root / row['Config']).is_file(), row['Config']
        weights = row.get('Weights', 'hf://OpenGVLab/')
        assert weights.startswith('hf://OpenGVLab/')
        for result in row.get('Results', ()):
            (line,) = (line for line in table.splitlines() if f'`{row["Name"]}`' in line)
            for figure in result['Metrics'].values():
                assert f'{figure:.1f}' in line
            assert weights.removeprefix('hf://OpenGVLab/') in line


@pytest.mark.parametrize('name', ['small', 'base', 'large', '1B', '6B'])
def test_published_names_build_their_size(name: str) -> None:
    millions = {'small': 23, 'base': 90, 'large': 309, '1B': 1021, '6B': 5942}
    with torch.device('meta'):
        model = get_model(f'internvideo2_{name}_patch14_224', device='meta')
    assert round(sum(p.numel() for p in model.parameters()) / 1e6) == millions[name]


@pytest.mark.parametrize('kind', ['ap', 'cat'])
def test_probe_names_build_their_head(kind: str) -> None:
    with torch.device('meta'):
        model = get_model(f'internvideo2_{kind}_small_patch14_224', device='meta')
    assert hasattr(model.head, {'ap': 'extra_mlp', 'cat': 'down_norm'}[kind])


def test_short_names_and_overrides(tiny: tuple[Path, Path]) -> None:
    assert get_config('S14_k400').model == get_config('internvideo2/S14_k400').model
    model = get_model(tiny[0], backbone=dict(depth=1), head=dict(num_classes=5))
    assert (len(model.backbone.blocks), model.head.head.out_features) == (1, 5)
    assert not model.training


def test_weights_of_ours_load_and_resize(tiny: tuple[Path, Path]) -> None:
    config, checkpoint = tiny
    state = torch.load(checkpoint, weights_only=True)['state_dict']
    same = get_model(config, str(checkpoint)).state_dict()
    longer = get_model(config, str(checkpoint), backbone=dict(num_frames=8))
    assert all(torch.equal(same[name], state[name]) for name in state)
    assert longer.backbone.pos_embed.shape[1] == 1 + 8 * 4
    assert torch.equal(
        longer.backbone.blocks[1].mlp.fc1.weight, same['backbone.blocks.1.mlp.fc1.weight']
    )


@pytest.mark.parametrize(
    ('name', 'text'),
    [
        ('S14_k40', 'internvideo2/S14_k400'),
        ('internvideo2_smal_patch14_224', 'internvideo2_small_patch14_224'),
        ('xyz', 'list_models'),
    ],
)
def test_unknown_names_get_near_ones(name: str, text: str) -> None:
    with pytest.raises(KeyError, match=text):
        get_model(name)


def test_missing_weights_and_configs_are_named(tiny: tuple[Path, Path]) -> None:
    with pytest.raises(KeyError, match='no published weights are known for internvideo2/6B_k400'):
        get_model('internvideo2/6B_k400', pretrained=True)
    with pytest.raises(FileNotFoundError, match=r'gone\.py'):
        get_model('gone.py')
    with pytest.raises(FileNotFoundError, match=r'gone\.pth'):
        get_model(tiny[0], 'gone.pth')


def test_every_listed_config_exists() -> None:
    assert all(entry.config.is_file() for entry in zoo().values())
