import pytest
from hypothesis import given
from hypothesis import strategies as st

from internvideo.datasets.formats.captions import normalise_caption


@pytest.mark.parametrize(
    ('raw', 'words', 'wanted'),
    [
        ("A man's dog -- runs, fast! (really)", None, 'a mans dog runs fast really'),
        ('<person> Opens a #Door/gate\n', 4, 'person opens a door'),
        ('tab\there', None, 'tab\there'),
        ('...', 3, ''),
    ],
)
def test_captions_are_normalised_as_published(raw, words, wanted):
    assert normalise_caption(raw, words) == wanted


@given(st.text(alphabet='aB.,-/ <>\n"', max_size=30))
def test_normalising_twice_changes_nothing_once_blanks_are_single(text):
    once = normalise_caption(text)
    assert normalise_caption(normalise_caption(once)) == normalise_caption(once)
    assert not set(once) & set('.,-/"')
