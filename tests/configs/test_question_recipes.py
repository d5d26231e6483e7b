"""Configs of question answering: what they share with fine-tuning, and that their parts agree."""

import pytest
from mmengine.config import Config

from tests.paths import CONFIGS

FAMILY = CONFIGS / 'internvideo2'
LEAVES = sorted(path for path in (FAMILY / 'qa').glob('*.py') if 'tiny' not in path.name)
TRAINED = [path for path in LEAVES if Config.fromfile(path).get('train_dataloader')]
EVALUATORS = dict(VideoQuestionAnswering='OpenEndedAccuracy', VideoMultipleChoice='ChoiceAccuracy')


def loaders(config):
    found = (config.get(f'{part}_dataloader') for part in ('train', 'val', 'test'))
    return [loader for loader in found if loader]


@pytest.mark.parametrize('leaf', LEAVES, ids=lambda leaf: leaf.stem)
def test_frames_and_tasks_agree_inside_a_config(leaf):
    config = Config.fromfile(leaf)
    frames = {loader.dataset.sampling.num_frames for loader in loaders(config)}
    assert frames == {config.model.vision_encoder.num_frames}
    assert config.test_evaluator.type == EVALUATORS[config.model.type]
    tasks = {loader.dataset.get('task', 'open_ended') for loader in loaders(config)}
    assert tasks == {
        'open_ended' if 'QuestionAnswering' in config.model.type else 'multiple_choice'
    }


@pytest.mark.parametrize('leaf', TRAINED, ids=lambda leaf: leaf.stem)
def test_optimisation_is_that_of_fine_tuning_for_retrieval(leaf):
    own, tuning = (Config.fromfile(p) for p in (leaf, FAMILY / 'stage2' / '6B_msrvtt.py'))
    for field in ('optimizer', 'type', 'dtype', 'constructor', 'clip_grad'):
        assert own.optim_wrapper[field] == tuning.optim_wrapper[field]
    for field in ('param_scheduler', 'train_cfg', 'num_gpus', 'strategy', 'randomness'):
        assert own[field] == tuning[field]
    assert own.train_dataloader.batch_size == tuning.train_dataloader.batch_sampler.batch_size
