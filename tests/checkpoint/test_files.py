import argparse
import json

import pytest
import torch
from safetensors.torch import save_file

from internvideo.checkpoint.files import read_frame_sampling, read_state_dict, write_state_dict
from internvideo.structures.frame_sampling import FrameSampling

STATE = {'a.weight': torch.arange(6.0).reshape(2, 3), 'b': torch.ones(4, dtype=torch.bfloat16)}


def same(one, two):
    return list(one) == list(two) and all(torch.equal(one[name], two[name]) for name in one)


@pytest.mark.parametrize('name', ['x.pth', 'x.pt', 'x.bin', 'x.safetensors'])
def test_write_and_read_are_inverse(tmp_path, name):
    path = write_state_dict(STATE, tmp_path / 'new' / name)
    assert same(read_state_dict(path), STATE)
    assert [file.name for file in path.parent.iterdir()] == [name]


@pytest.mark.parametrize('name', ['x.pth', 'x.safetensors'])
def test_the_choice_of_frames_is_kept(tmp_path, name):
    record = FrameSampling(
        dict(type='UniformSample', num_frames=8, mode='val'),
        (dict(type='Resize', size=[32, 32]), dict(type='PackInputs')),
    )
    path = write_state_dict(STATE, tmp_path / name, frame_sampling=record.to_dict())
    assert read_frame_sampling(path) == record
    assert same(read_state_dict(path), STATE)
    plain = write_state_dict(STATE, tmp_path / f'plain_{name}')
    assert read_frame_sampling(plain) is None


def test_files_that_cannot_be_read_say_no_choice_of_frames(tmp_path):
    torch.save(STATE, tmp_path / 'legacy.pth', _use_new_zipfile_serialization=False)
    torch.save({'meta': argparse.Namespace(), 'model': STATE}, tmp_path / 'objects.pth')
    (tmp_path / 'torn.safetensors').write_bytes(b'torn')
    for path in tmp_path.iterdir():
        assert read_frame_sampling(path) is None


@pytest.mark.parametrize('name', ['x.pth', 'x.safetensors'])
def test_written_files_have_the_permissions_of_others(tmp_path, name):
    path = write_state_dict(STATE, tmp_path / name)
    (tmp_path / 'other').touch()
    assert path.stat().st_mode == (tmp_path / 'other').stat().st_mode


@pytest.mark.parametrize('zipped', [True, False])
@pytest.mark.parametrize(
    'wrapped',
    [
        STATE,
        {'epoch': 3, 'state_dict': STATE},
        {'state_dict': {}, 'module': STATE},
        {'module': {}, 'model': STATE},
    ],
)
def test_containers_are_taken_by_precedence(tmp_path, wrapped, zipped):
    torch.save(wrapped, tmp_path / 'x.pth', _use_new_zipfile_serialization=zipped)
    assert same(read_state_dict(tmp_path / 'x.pth'), STATE)


def test_objects_need_the_flag(tmp_path):
    path = tmp_path / 'legacy.pth'
    torch.save({'model': STATE, 'args': argparse.Namespace(lr=1)}, path)
    with pytest.raises(ValueError, match=r'legacy\.pth.*Namespace.*trusted_pickle=True'):
        read_state_dict(path)
    assert same(read_state_dict(path, trusted_pickle=True), STATE)


@pytest.mark.parametrize('share', [0.0, 0.5, 0.99])
@pytest.mark.parametrize('kind', ['zip', 'legacy', 'safetensors'])
def test_truncated_files_are_named(tmp_path, kind, share):
    state = {'w': torch.randn(64, 64)}
    path = tmp_path / ('torn.safetensors' if kind == 'safetensors' else 'torn.pth')
    if kind == 'safetensors':
        save_file(state, path)
    else:
        torch.save(state, path, _use_new_zipfile_serialization=kind == 'zip')
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(ValueError, match=r'torn\..* is truncated, damaged'):
        read_state_dict(path)


def test_missing_files_and_folders_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r'nowhere\.pth'):
        read_state_dict(tmp_path / 'nowhere.pth')
    with pytest.raises(IsADirectoryError, match='name the file'):
        read_state_dict(tmp_path)


@pytest.mark.parametrize('content', [{'weights': STATE, 'epoch': 1}, [1, 2], {}])
def test_a_file_without_state_dict_says_what_it_holds(tmp_path, content):
    torch.save(content, tmp_path / 'odd.pth')
    with pytest.raises(ValueError, match=r'odd\.pth.*no state dict'):
        read_state_dict(tmp_path / 'odd.pth')


def test_sharded_index(tmp_path):
    save_file({'a.weight': STATE['a.weight']}, tmp_path / 'part-1.safetensors')
    save_file({'b': STATE['b']}, tmp_path / 'part-2.safetensors')
    index = tmp_path / 'model.safetensors.index.json'
    shards = {'a.weight': 'part-1.safetensors', 'b': 'part-2.safetensors'}
    index.write_text(json.dumps({'weight_map': shards}))
    assert same(read_state_dict(index), STATE)

    index.write_text(json.dumps({'weight_map': {**shards, 'c': 'part-1.safetensors'}}))
    with pytest.raises(ValueError, match=r'lack c in part-1'):
        read_state_dict(index)
    (tmp_path / 'part-2.safetensors').unlink()
    with pytest.raises(FileNotFoundError, match='part-2'):
        read_state_dict(index)


def test_unknown_suffix_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r'x\.ckpt'):
        write_state_dict(STATE, tmp_path / 'x.ckpt')
