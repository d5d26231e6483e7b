"""Runners on variants of the kept cases: what those do not cover."""

import dataclasses

import numpy as np
import pytest
import torch

from internvideo.verification.cases import CaseError, RunEnv, load_case
from internvideo.verification.facts import Facts
from internvideo.verification.judging import run_case
from internvideo.verification.runner_registry import discover_runners, find_runner
from tests.paths import PARITY

discover_runners()
FOLDER = PARITY / 'internvideo2_multi'


def variant(name, **facts):
    case = load_case(FOLDER / f'{name}.json')
    return dataclasses.replace(case, facts=Facts(case.facts | facts))


def outputs_of(case):
    return find_runner(case.family)(case, RunEnv()).outputs


def test_a_teacher_that_nothing_is_aligned_with_changes_no_other_loss():
    case = variant('stage2_visual_teacher')
    idle = variant('stage2_visual_teacher', grads=['itm_head.weight'])
    idle.facts['loss_weight']['uta'] = 0.0
    found, expected = outputs_of(idle), outputs_of(case)
    assert found['loss_uta'] == 0 != expected['loss_uta']
    for name in ('loss_vtc', 'loss_vtm', 'loss_mlm'):
        torch.testing.assert_close(found[name], expected[name])


def test_student_and_teacher_of_other_norms_are_refused():
    case = variant('stage2_visual_teacher')
    case.facts['teacher']['clip_norm_type'] = 'none'
    with pytest.raises(CaseError, match='normalised alike'):
        outputs_of(case)


def test_losses_take_the_shape_that_a_case_stores():
    case = variant('stage2_visual_teacher', distill_final_features=False)
    one = {name: dict(spec, shape=[1]) for name, spec in case.outputs.items() if 'loss' in name}
    found = outputs_of(dataclasses.replace(case, outputs=case.outputs | one))
    assert found['loss_uta'].shape == found['loss'].shape == (1,)


def test_random_negatives_of_a_whole_model_are_told():
    case = variant('stage2_visual_finetune')
    noise = {f'{name}': np.eye(3, dtype=np.float32)[[1, 2, 0]] for name in ('a', 'b')}
    roles = {k: v for k, v in case.roles.items() if 'negative' not in k}
    roles |= dict(noise_vision='a', noise_text='b')
    found = outputs_of(dataclasses.replace(case, inputs=case.inputs | noise, roles=roles))
    assert found['negative_vision'].tolist() == found['negative_text'].tolist() == [1, 2, 0]


def test_image_tables_are_not_resized_over_time():
    case = variant('pos_resize_frames_resume')
    name, table = 'vision_encoder.img_pos_embed', np.ones((1, 10, 16), dtype=np.float32)
    case = dataclasses.replace(
        case,
        inputs=case.inputs | {name: table},
        outputs=case.outputs | {name: dict(name=name, shape=[1, 10, 16])},
    )
    assert outputs_of(case)[name].shape == (1, 10, 16)


def test_a_tower_that_stops_early_aligns_nothing():
    with pytest.raises(CaseError, match='tokens only'):
        outputs_of(variant('s2_vision_xvis_only', x_vis_only=False))


def test_parameters_of_a_teacher_are_frozen_ones():
    case = variant('decay_groups_stage2_visual')
    name = 'clip_teacher.cls_token'
    facts = dict(parameters=[*case.facts['parameters'], [name, [1, 1, 36]]], frozen=[name])
    found = outputs_of(dataclasses.replace(case, facts=Facts(case.facts | facts)))
    assert found['counts'][2] == 1


@pytest.mark.parametrize('name', ['beats_fbank_tone', 'beats_fbank_64'])
def test_audio_is_never_rounded_to_the_type_of_a_run(name):
    """Rounded waves would move the filter bank by whole tenths; they must not change a bit."""
    path = FOLDER / f'{name}.json'
    found = {
        dtype: find_runner('internvideo2_multi/beats_fbank')(load_case(path), RunEnv(dtype=dtype))
        for dtype in ('float32', 'bfloat16')
    }
    fine, rough = (found[dtype].outputs['fbank'] for dtype in ('float32', 'bfloat16'))
    assert fine.dtype == rough.dtype == torch.float32 and torch.equal(fine, rough)
    assert run_case(path, RunEnv(dtype='bfloat16')).passed
