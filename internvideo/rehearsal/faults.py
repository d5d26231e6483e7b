"""All that can be said against a config without running it."""

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from .data_rules import (
    DATA_RULES,
    draws_of_pipelines,
    pixel_scale,
    roles_of_loaders,
    sizes,
    splits,
)
from .file_rules import FILE_RULES, checkpoints
from .findings import Finding, one_line
from .generated_data import MediaCache
from .media_rules import MEDIA_RULES, text_lengths, vocabularies
from .model_rules import MODEL_RULES, items_fit, recomputation, trains_something
from .question_rules import QUESTION_RULES
from .run_rules import RUN_RULES, best_checkpoint, complete, hooks, length, optimizer
from .schema import check_schema
from .subject import Subject, build_dry_model, load_items

RULES = (*DATA_RULES, *MODEL_RULES, *RUN_RULES, *FILE_RULES)
COMMON_RULES = (pixel_scale, sizes, recomputation, hooks, checkpoints)
ASKING_RULES = (
    *QUESTION_RULES,
    *(roles_of_loaders, draws_of_pipelines, splits, items_fit, text_lengths, vocabularies),
    *(complete, best_checkpoint),
    *COMMON_RULES,
)
TRAINING_RULES = (trains_something, length, optimizer)


def rules_for(subject: Subject) -> tuple[Callable[[Subject], Iterable[Finding]], ...]:
    """The rules that judge a config of this kind."""
    if subject.asks:
        return (*ASKING_RULES, *(TRAINING_RULES if subject.trains else ()))
    if not subject.is_multimodal:
        return RULES
    return (*MEDIA_RULES, *COMMON_RULES, *(TRAINING_RULES if subject.trains else ()))


def find_faults(
    config: Mapping[str, Any], world_size: int, cache: MediaCache, folder: Path
) -> tuple[list[Finding], Subject]:
    """Findings, one a field, and the subject that the rules looked at.

    Args:
        config: the config, resolved.
        world_size: processes it is meant for.
        cache: generated media.
        folder: an empty folder for generated lists.
    """
    subject = Subject(config, world_size)
    if not isinstance(config.get('model'), Mapping):
        return [Finding('model', 'the config has no model')], subject
    findings = [*check_schema(config)]
    findings += load_items(subject, cache, folder)
    findings += build_dry_model(subject)
    for rule in rules_for(subject):
        try:
            findings += rule(subject)
        except (KeyError, TypeError, AttributeError) as error:
            # A field is missing or of another kind than every config has.
            findings.append(Finding(rule.__name__, f'cannot be judged: {one_line(error)}'))
    return _without_echoes(findings), subject


def _without_echoes(findings: list[Finding]) -> list[Finding]:
    """Drop findings about a whole part when one about a field of it is there already."""
    kept: list[Finding] = []
    for finding in findings:
        said = [other.field for other in kept]
        if finding.field in said:
            continue
        if not finding.is_missing_file and any(f.startswith(f'{finding.field}.') for f in said):
            continue
        kept.append(finding)
    return kept
