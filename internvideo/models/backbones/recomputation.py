"""Checks of an encoder's activation checkpointing in a rehearsed config."""

from collections.abc import Iterator, Mapping
from typing import Any

from internvideo.structures.rehearsal import Finding, RehearsedRun


def check_recomputation(
    config: Mapping[str, Any], field: str, run: RehearsedRun
) -> Iterator[Finding]:
    """``checkpoint_num`` names blocks that there are, and has an effect."""
    number = config.get('checkpoint_num')
    if number is None:
        return
    if number and config.get('use_checkpoint') is False:
        yield Finding(
            f'{field}.checkpoint_num', f'{number} has no effect with use_checkpoint=False'
        )
    depth = getattr(run.module(field), 'depth', None)
    if depth is not None and not 0 <= number <= depth:
        yield Finding(f'{field}.checkpoint_num', f'{number} of {depth} blocks')
