"""A fact or input that a runner does not know is a miss, wherever a case of any family has it."""

import json

import pytest

from internvideo.verification.cases import RunEnv, find_cases, load_case
from internvideo.verification.facts import CaseError, Facts, ReadRecord
from internvideo.verification.runner_registry import discover_runners, find_runner
from tests.paths import PARITY

discover_runners()
STRANGER = 'unknown_here'
# Their keys are names of parameters or inputs, or arguments that a callee checks.
MAPS = ('tied', 'loaded', 'freeze', 'loss_weight', 'loss_caption', 'cast', 'batches', 'draws')
CHECKPOINT_AS_INPUTS = ('stage2_teacher_load',)


def first_of_each_family():
    families = {}
    for path in find_cases(PARITY)[0]:
        families.setdefault(json.loads(path.read_text())['family'], path)
    return list(families.values())


def with_strangers(value, place=''):
    """``value`` with an unknown fact in every dictionary of it, and where these are."""
    if isinstance(value, list):
        pairs = [with_strangers(item, f'{place}[{i}]') for i, item in enumerate(value)]
        return [one for one, _ in pairs], [name for _, names in pairs for name in names]
    if not isinstance(value, dict):
        return value, []
    found, names = {STRANGER: 1}, [f'{place}.{STRANGER}']
    for key, item in value.items():
        found[key], inner = (item, []) if key in MAPS else with_strangers(item, f'{place}.{key}')
        names += inner
    return found, names


@pytest.mark.parametrize('path', first_of_each_family(), ids=lambda path: path.stem)
def test_runners_read_what_they_know_only(path):
    case = load_case(path)
    facts, places = with_strangers(json.loads(path.read_text())['facts'])
    inputs = dict(case.inputs) | {STRANGER: next(iter(case.inputs.values()), None)}
    case.__dict__.update(facts=Facts(facts), inputs=ReadRecord(inputs))
    try:
        find_runner(case.family)(case, RunEnv())
    except CaseError as error:
        assert STRANGER in str(error)
        return
    assert set(case.facts.unread()) == {place.removeprefix('.') for place in places}
    assert case.inputs.unread() == [STRANGER] or path.stem in CHECKPOINT_AS_INPUTS
