"""The published sentences around class names."""

import hashlib

import pytest

from internvideo.datasets.formats.prompts import fill_prompt, prompt_templates

CHECKSUMS = dict(
    kinetics_action_clip='3c15b373c88d8d5cb41f58faca1b072e49f566b0882d6eceda6a902577d26afb',
    kinetics='7a2a52ffa62202a73c82bcd8088caced4da0fbba6c925b274a4519336554e22f',
    imagenet='4f976686fb651bb5803d4689dcd849f75efe0ef19a3c801355bc9a6f03c8a5af',
)


@pytest.mark.parametrize('name', CHECKSUMS)
def test_templates_are_the_published_ones(name) -> None:
    templates = prompt_templates(name)
    assert hashlib.sha256('\n'.join(templates).encode()).hexdigest() == CHECKSUMS[name]
    assert {template.count('{}') for template in templates} == {1}


def test_class_names_may_hold_braces() -> None:
    assert fill_prompt('a photo of {}.', 'a {b}') == 'a photo of a {b}.'


def test_an_unknown_list_is_named() -> None:
    with pytest.raises(ValueError, match=r"'kinetiks'; known: imagenet, kinetics"):
        prompt_templates('kinetiks')
