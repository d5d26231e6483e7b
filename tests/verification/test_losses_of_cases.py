"""Losses, gradients and returned outputs that a case lists, in the modes that kept cases lack."""

import json

import numpy as np
import pytest
import torch

from internvideo.verification.cases import CaseError, RunEnv, load_case
from internvideo.verification.expressions import evaluate
from internvideo.verification.judging import run_case
from internvideo.verification.runner_registry import discover_runners, find_runner
from tests.paths import PARITY

discover_runners()
BIAS = 'cls.predictions.bias'
LABELS = [[-100, 3, -100, 7, 5, -100, -100, -100, 1], [2] + [-100] * 8]


def write_variant(folder, name, arrays=None, inputs=(), **facts):
    """Write the kept case ``name`` with other facts and, beyond its own outputs, ``arrays``."""
    header = json.loads((PARITY / f'{name}.json').read_text())
    with np.load(PARITY / f'{name}.npz') as file:
        stored = dict(file)
    arrays = {key: np.asarray(value) for key, value in (arrays or {}).items()}
    header['facts'] |= facts
    header['inputs'] += list(inputs)
    header['outputs'] += [dict(name=key, shape=value.shape) for key, value in arrays.items()]
    path = folder / 'variant.json'
    path.write_text(json.dumps(header))
    np.savez(path.with_suffix('.npz'), **stored, **arrays)
    return path


def outputs_of(path):
    case = load_case(path)
    return find_runner(case.family)(case, RunEnv()).outputs


def text_losses(folder):
    """A text-only case of a masked language model with loss and gradient, from its logits alone."""
    labels = dict(name='bert_text.labels', kind='values', values=LABELS)
    change = dict(inputs=[labels], loss='masked_lm', grads=[BIAS])
    found = outputs_of(write_variant(folder, 'internvideo2_multi/bert_text', **change))
    logits, target = found['logits'].detach(), torch.tensor(LABELS)
    chosen = target >= 0
    loss = torch.nn.functional.cross_entropy(logits[chosen], target[chosen])
    wanted = torch.nn.functional.one_hot(target[chosen], logits.shape[-1])
    gradient = (logits[chosen].softmax(-1) - wanted).mean(0)
    return change, {'loss': loss, f'grad:{BIAS}': gradient, f'gradnorm:{BIAS}': gradient.norm()}


def test_a_text_only_case_has_its_loss_and_gradients(tmp_path):
    change, arrays = text_losses(tmp_path)
    verdict = run_case(write_variant(tmp_path, 'internvideo2_multi/bert_text', arrays, **change))
    assert verdict.passed, verdict.message


@pytest.mark.parametrize('name', ['loss', f'grad:{BIAS}', f'gradnorm:{BIAS}'])
def test_a_wrong_loss_or_gradient_of_a_text_only_case_misses(tmp_path, name):
    change, arrays = text_losses(tmp_path)
    arrays[name] = arrays[name] * 1.1 + 0.01
    verdict = run_case(write_variant(tmp_path, 'internvideo2_multi/bert_text', arrays, **change))
    assert not verdict.passed and f'output {name!r} is off' in verdict.message


# One family of each kind, and a loss that no kept case of it has.
FORMULAS = [
    ('internvideo2_multi/bert_plain_text', 'hidden', 'encoder.layer.1.output.LayerNorm.bias'),
    ('internvideo2_multi/bert_fusion', 'hidden', 'bert.encoder.layer.3.output.LayerNorm.bias'),
    ('internvideo2_multi/beats_encoder_prenorm', 'tokens', 'encoder.layers.0.fc2.bias'),
    ('internvideo2_multi/s2_vision_plain', 'x_vis', 'cls_token'),
    ('internvideo2_multi/clip_vision_image', 'feature', 'cls_token'),
    ('internvideo2_multi/teacher_image', 'final', 'cls_token'),
    ('internvideo2_multi/match_scores', 'match_logit', 'itm_head.weight'),
    ('internvideo2_multi/mobileclip_text_short', 'feature', 'projection_layer'),
    ('internvideo2_single/finetune_joint', 'logits', 'head.bias'),
    ('internvideo2_single/ap_joint', 'logits', 'head.bias'),
    ('internvideo2_single/pretrain_joint', 'clip_middle', 'clip_decoder.0.head.bias'),
    ('internvideo2_single/teacher_joint', 'final', 'cls_token'),
    ('internvideo2_single/videomae_published', 'features', 'patch_embed.proj.bias'),
]


@pytest.mark.parametrize(('name', 'output', 'parameter'), FORMULAS)
def test_every_family_of_models_takes_a_formula_and_gives_gradients(
    tmp_path, name, output, parameter
):
    lists = 'grads' if 'multi' in name else 'grad_of'
    facts = {'loss': f'mean({output}**2) + 2 * mean({output})', lists: [parameter]}
    found = outputs_of(write_variant(tmp_path, name, **facts))
    value = found[output]
    torch.testing.assert_close(found['loss'], value.square().mean() + 2 * value.mean())
    gradient = found[f'grad:{parameter}']
    assert gradient.abs().max() > 0
    torch.testing.assert_close(found[f'gradnorm:{parameter}'], gradient.norm())


def test_the_gradient_of_no_parameter_is_refused(tmp_path):
    facts = dict(loss='mean(hidden)', grads=['bert.pooler.weight'])
    message = run_case(write_variant(tmp_path, 'internvideo2_multi/bert_text', **facts)).message
    assert message == 'gradient of bert.pooler.weight: no such parameter here'


def test_gradients_without_a_loss_are_refused(tmp_path):
    path = write_variant(tmp_path, 'internvideo2_multi/bert_text', grads=[BIAS])
    assert run_case(path).message == 'the case lists gradients, but no loss'


def test_a_listed_output_that_is_not_computed_misses(tmp_path):
    for facts, message in (
        ({}, "output 'loss_mvm' was not returned"),
        (dict(returns='pooled'), 'the case returns pooled, this build does not'),
    ):
        path = write_variant(tmp_path, 'internvideo2_multi/bert_text', dict(loss_mvm=0.0), **facts)
        assert message in run_case(path).message


def test_formulas_are_no_programs():
    arrays = dict(x=torch.tensor([[1.0, 2.0], [3.0, 4.0]]), y=torch.tensor(2.0))
    assert evaluate('sum(x*y)/batch - 1', arrays) == 9
    assert evaluate('mean(sum(x, last axis))', arrays) == 5
    for formula in ('x.backward()', 'z + 1', '__import__("os")', 'mean(x', 'max(x)'):
        with pytest.raises(CaseError, match='loss'):
            evaluate(formula, arrays)
