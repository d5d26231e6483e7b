"""A test's list of answers reaches the model, and leaves it with the next test."""

from types import SimpleNamespace

from internvideo.engine.hooks.candidate_answers_hook import CandidateAnswersHook
from internvideo.engine.strategies.single_device import SingleDevice
from tests.models.tasks.question_answering.small_models import model


def runner_of(net, **metainfo):
    loader = SimpleNamespace(dataset=SimpleNamespace(metainfo=metainfo))
    loop = SimpleNamespace(dataloader=loader)
    return SimpleNamespace(model=net, strategy=SingleDevice(), val_loop=loop, test_loop=loop)


def test_each_loop_hands_over_its_own_list():
    net, hook = model('VideoQuestionAnswering'), CandidateAnswersHook()
    hook.before_val(runner_of(net, answers=('yes', 'no')))
    assert net.candidates == ('yes', 'no')
    hook.before_test(runner_of(net))
    assert net.candidates == ()


def test_other_models_are_left_alone():
    chooser = model('VideoMultipleChoice')
    CandidateAnswersHook().before_test(runner_of(chooser, answers=('yes',)))
    assert not hasattr(chooser, 'candidates')
