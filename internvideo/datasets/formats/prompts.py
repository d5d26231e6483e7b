"""Published sentences that class names and captions are put into."""

import json
from functools import cache
from importlib import resources

PLACE = '{}'
"""What the class name or the caption takes the place of."""


@cache
def prompt_templates(name: str) -> tuple[str, ...]:
    """Published list of that name, whose sentences hold ``{}`` once.

    ``kinetics_action_clip`` is what zero-shot action recognition averages over; ``kinetics`` and
    ``imagenet`` are drawn from while training on class names.

    Raises:
        ValueError: no such list.
    """
    text = resources.files(__package__).joinpath('prompt_templates.json').read_text('utf-8')
    lists = json.loads(text)
    if name not in lists:
        raise ValueError(f'no prompt templates {name!r}; known: {", ".join(sorted(lists))}')
    return tuple(lists[name])


def fill_prompt(template: str, text: str) -> str:
    """Put ``text`` in its place in ``template`` and keep its own braces."""
    return template.replace(PLACE, text)
