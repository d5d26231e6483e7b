"""The parts of a config: dicts whose ``type`` names a registered class, and where they stand."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from internvideo import registry
from internvideo.registry import Registry

REGISTRIES: dict[str, Registry] = {
    'model': registry.MODELS,
    'tokenizer': registry.TASK_UTILS,
    'init_cfg': registry.WEIGHT_INITIALIZERS,
    'adapter': registry.CHECKPOINT_ADAPTERS,
    'dataset': registry.DATASETS,
    'datasets': registry.DATASETS,
    'sampler': registry.DATA_SAMPLERS,
    'batch_sampler': registry.DATA_SAMPLERS,
    'collate_fn': registry.FUNCTIONS,
    'sampling': registry.TRANSFORMS,
    'pipeline': registry.TRANSFORMS,
    'optim_wrapper': registry.OPTIM_WRAPPERS,
    'optimizer': registry.OPTIMIZERS,
    'param_scheduler': registry.PARAM_SCHEDULERS,
    'train_cfg': registry.LOOPS,
    'val_cfg': registry.LOOPS,
    'test_cfg': registry.LOOPS,
    'val_evaluator': registry.METRICS,
    'test_evaluator': registry.METRICS,
    'default_hooks': registry.HOOKS,
    'custom_hooks': registry.HOOKS,
    'strategy': registry.STRATEGIES,
    'visualizer': registry.VISUALIZERS,
    'vis_backends': registry.VISBACKENDS,
    'log_processor': registry.LOG_PROCESSORS,
}
"""Field -> the registry that serves the parts in it and below."""
DEFAULT_TYPES = {
    'optim_wrapper': 'OptimWrapper',
    'train_cfg': 'TrainLoop',
    'val_cfg': 'ValLoop',
    'test_cfg': 'TestLoop',
    'visualizer': 'Visualizer',
    'log_processor': 'LogProcessor',
}
NAMED = ('default_hooks',)
"""Fields whose keys are names that the config chose."""
OWN = 'internvideo.'


@dataclass(frozen=True)
class ConfigPart:
    """One part of a config.

    Attributes:
        field: dotted name.
        key: name of the field, empty in lists.
        kind: what ``type`` says, or the class that stands when it says nothing.
        config: the part.
        registry: where its field looks classes up.
    """

    field: str
    key: str
    kind: Any
    config: Mapping[str, Any]
    registry: Registry

    @property
    def part_class(self) -> Any:
        """The class, or None when no registry has it."""
        return class_of(self.kind, self.registry)

    def offer(self, name: str) -> Any:
        """Offer of the class under ``name``, or None."""
        return getattr(self.part_class, name, None)


def class_of(kind: Any, expected: Registry) -> Any:
    """Find the class that a ``type`` names, in the registry expected there or else in any."""
    if not isinstance(kind, str):
        return kind if callable(kind) else None
    others = [each for each in vars(registry).values() if isinstance(each, Registry)]
    # The registry is guessed from the name of the field, which a project may choose as it likes.
    for each in (expected, *others):
        if kind in each:
            return each.get(kind)
    return None


def is_own(part_class: Any) -> bool:
    """Whether a class is one of this package: its offers are complete."""
    return str(getattr(part_class, '__module__', '')).startswith(OWN)


def parts_of(config: Mapping[str, Any]) -> Iterator[ConfigPart]:
    """Every part of a config, outer ones first."""
    for key, value in config.items():
        if key.endswith('_dataloader') and isinstance(value, Mapping):
            yield from _walk(value, key, None)
        elif key in REGISTRIES:
            yield from _walk_part(value, key, REGISTRIES[key], key)


def parts_below(value: Any, field: str, current: Registry) -> Iterator[ConfigPart]:
    """Parts of a config's ``value``, itself included, which stands at ``field``."""
    yield from _walk_part(value, field, current, field.rpartition('.')[2])


def _walk(value: Any, path: str, current: Registry | None) -> Iterator[ConfigPart]:
    if isinstance(value, Mapping):
        for key, item in value.items():
            named = path in NAMED
            below = current if named else REGISTRIES.get(key, current)
            yield from _walk_part(item, f'{path}.{key}', below, '' if named else key)
    elif isinstance(value, list | tuple):
        for index, item in enumerate(value):
            yield from _walk_part(item, f'{path}.{index}', current, '')


def _walk_part(value: Any, path: str, current: Registry | None, key: str) -> Iterator[ConfigPart]:
    kind = value.get('type', DEFAULT_TYPES.get(key)) if isinstance(value, Mapping) else None
    if kind is not None and kind != 'auto' and current is not None:
        yield ConfigPart(path, key, kind, value, current)
    yield from _walk(value, path, current)
