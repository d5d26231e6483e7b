"""Targets in files: same loss as from the teachers, and never a wrong target."""

import pytest
import torch

from internvideo.models.tasks.pretraining.precomputed import (
    PrecomputedTargets,
    TargetManifest,
    compute_entries,
    part_path,
    write_part,
)
from internvideo.structures import VideoDataSample

from .small_models import GivenMask, build, pretraining


def batch(count=4):
    samples = [VideoDataSample(metainfo=dict(path=f'/data/{i}.mp4')) for i in range(count)]
    return torch.randn(count, 3, 4, 28, 28), samples


def manifest(model, tokens, **fields):
    return TargetManifest(
        **dict(
            facts=model.targets.facts,
            grid=model.backbone.grid,
            tokens=tokens,
            num_crops=1,
            num_rows=4,
            part_size=2,
            seed=0,
            norms=('l2', 'l2'),
            digest='0123456789abcdef',
            dtype='float32',
        )
        | fields
    )


def write(model, root, tokens, video, samples):
    """Targets of four clips in two parts."""
    manifest(model, tokens).write(root)
    for part in range(2):
        rows = slice(2 * part, 2 * part + 2)
        entries = compute_entries(model, video[rows], samples[rows], tokens, torch.float32)
        write_part(root, part, [entries])


@pytest.fixture(params=['visible', 'all'])
def folder(request, tmp_path):
    torch.manual_seed(0)
    model, (video, samples) = build(pretraining()), batch()
    write(model, tmp_path, request.param, video, samples)
    return tmp_path, model, video, samples


def reading(folder):
    model = build(pretraining(targets=dict(type='PrecomputedTargets', root=str(folder[0]))))
    state = folder[1].state_dict()
    model.load_state_dict(state)
    model.targets.load()
    return model


def test_files_and_teachers_give_the_same_loss_on_the_same_clips(folder):
    inline, (_, _, video, samples) = folder[1], folder
    stored = reading(folder)
    order = [2, 0, 3, 1]
    video, samples = video[order], [samples[i] for i in order]
    torch.manual_seed(5)
    from_files = stored(video, samples, mode='loss')
    if stored.targets.brings_mask:
        inline.masker = GivenMask(stored.targets(video, samples).mask)
    torch.manual_seed(5)
    from_teachers = inline(video, samples, mode='loss')
    torch.testing.assert_close(from_files, from_teachers)


def test_another_crop_of_a_known_video_is_an_error(folder):
    with pytest.raises(ValueError, match=r'other crops of /data/0\.mp4.*augment_period=1'):
        reading(folder)(folder[2] + 1, folder[3], mode='loss')


def test_an_unknown_video_is_an_error(folder):
    strangers = [VideoDataSample(metainfo=dict(path='/data/new.mp4'))] * 4
    with pytest.raises(ValueError, match=r'no targets for /data/new\.mp4'):
        reading(folder)(folder[2], strangers, mode='loss')


def test_a_missing_part_is_named(folder):
    part_path(folder[0], 1).unlink()
    with pytest.raises(FileNotFoundError, match=r'lacks 1 of 2 parts.*part-000001'):
        reading(folder)


def test_a_folder_made_otherwise_is_not_mixed(folder):
    with pytest.raises(ValueError, match='num_rows 4 instead of 9'):
        manifest(folder[1], PrecomputedTargets(folder[0]).manifest.tokens, num_rows=9).write(
            folder[0]
        )


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r'tools/precompute_targets\.py'):
        PrecomputedTargets(tmp_path / 'absent')


def test_a_damaged_manifest_is_named(tmp_path):
    (tmp_path / 'manifest.json').write_text('{"grid": [1')
    with pytest.raises(ValueError, match=r'manifest\.json is damaged'):
        PrecomputedTargets(tmp_path)


def test_targets_of_another_width_are_refused(folder):
    targets = dict(type='PrecomputedTargets', root=str(folder[0]))
    neck = dict(type='AlignmentNeck', clip_dim=99, clip_final_dim=16, mae_dim=20)
    with pytest.raises(ValueError, match='clip_dim is 24 for the teachers and 99'):
        build(pretraining(targets=targets, neck=neck))


def test_parts_cover_every_crop_of_every_row_once(folder):
    cover = manifest(folder[1], 'all', num_crops=3, num_rows=5, part_size=4)
    items = [item for part in range(cover.num_parts) for item in cover.part_items(part)]
    assert items == [(crop, row) for crop in range(3) for row in range(5)]
