"""Faults of a config that are found without running it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from internvideo.structures.rehearsal import Finding

from .config_rules import CONFIG_RULES
from .examples import MediaCache
from .file_rules import FILE_RULES
from .findings import one_line
from .memory import layout_of
from .model_rules import MODEL_RULES
from .rehearsed_config import RehearsedConfig, build_fake_model, observe_loaders
from .run_rules import RUN_RULES
from .schema import check_schema

RULES = (*CONFIG_RULES, *MODEL_RULES, *RUN_RULES, *FILE_RULES)


def find_faults(
    config: Mapping[str, Any], world_size: int, cache: MediaCache, folder: Path
) -> tuple[list[Finding], RehearsedConfig]:
    """Findings, one a field, and what the rules looked at.

    Args:
        config: the config, resolved.
        world_size: processes it is meant for.
        cache: generated media.
        folder: an empty folder for generated annotations.
    """
    rehearsed = RehearsedConfig(config, world_size)
    if not isinstance(config.get('model'), Mapping):
        return [Finding('model', 'the config has no model')], rehearsed
    findings = [*check_schema(config)]
    # The model first: its preprocessor makes the batches of the loaders that follow.
    findings += build_fake_model(rehearsed, cache, precision_of(rehearsed))
    findings += observe_loaders(rehearsed, cache, folder)
    for rule in RULES:
        try:
            findings += rule(rehearsed)
        except (KeyError, TypeError, AttributeError) as error:
            # A field is missing or of another kind than every config has.
            findings.append(Finding(rule.__name__, f'cannot be judged: {one_line(error)}'))
    return _without_echoes(findings), rehearsed


def precision_of(rehearsed: RehearsedConfig) -> str:
    """Precision of the first trace: with several kinds of batches, only traces that count."""
    loader = rehearsed.config.get('train_dataloader') or {}
    if not loader.get('batch_sampler'):
        return 'amp'
    try:
        return layout_of(rehearsed.config.get('strategy'), rehearsed.world_size).trace_precision
    except ValueError:  # a strategy whose memory is not modelled
        return 'amp'


def _without_echoes(findings: list[Finding]) -> list[Finding]:
    """Drop findings about a whole part when one about a field of it is there already."""
    kept: list[Finding] = []
    for finding in findings:
        if finding.field in [other.field for other in kept]:
            continue
        faults = [other.field for other in kept if not other.is_missing_file]
        if not finding.is_missing_file and any(f.startswith(f'{finding.field}.') for f in faults):
            continue
        kept.append(finding)
    return kept
