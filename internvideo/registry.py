"""Every registry of the project: children of mmengine's, in the scope ``internvideo``.

A registry names the packages its parts live in.  The first lookup imports every module below
those packages, so a new part is one new file: no list of imports has to be kept, and what can be
built never depends on what was imported before.  Modules therefore stay cheap to import: a heavy
optional library (transformers, peft, deepspeed, ...) is imported by the constructor that needs it.
"""

import difflib
import importlib
import pkgutil
from collections.abc import Iterable, Mapping, Sequence

from mmengine.registry import DATA_SAMPLERS as MMENGINE_DATA_SAMPLERS
from mmengine.registry import DATASETS as MMENGINE_DATASETS
from mmengine.registry import EVALUATOR as MMENGINE_EVALUATOR
from mmengine.registry import FUNCTIONS as MMENGINE_FUNCTIONS
from mmengine.registry import HOOKS as MMENGINE_HOOKS
from mmengine.registry import INFERENCERS as MMENGINE_INFERENCERS
from mmengine.registry import LOG_PROCESSORS as MMENGINE_LOG_PROCESSORS
from mmengine.registry import LOOPS as MMENGINE_LOOPS
from mmengine.registry import METRICS as MMENGINE_METRICS
from mmengine.registry import MODEL_WRAPPERS as MMENGINE_MODEL_WRAPPERS
from mmengine.registry import MODELS as MMENGINE_MODELS
from mmengine.registry import OPTIM_WRAPPER_CONSTRUCTORS as MMENGINE_OPTIM_WRAPPER_CONSTRUCTORS
from mmengine.registry import OPTIM_WRAPPERS as MMENGINE_OPTIM_WRAPPERS
from mmengine.registry import OPTIMIZERS as MMENGINE_OPTIMIZERS
from mmengine.registry import PARAM_SCHEDULERS as MMENGINE_PARAM_SCHEDULERS
from mmengine.registry import RUNNERS as MMENGINE_RUNNERS
from mmengine.registry import STRATEGIES as MMENGINE_STRATEGIES
from mmengine.registry import TASK_UTILS as MMENGINE_TASK_UTILS
from mmengine.registry import TRANSFORMS as MMENGINE_TRANSFORMS
from mmengine.registry import VISBACKENDS as MMENGINE_VISBACKENDS
from mmengine.registry import VISUALIZERS as MMENGINE_VISUALIZERS
from mmengine.registry import WEIGHT_INITIALIZERS as MMENGINE_WEIGHT_INITIALIZERS
from mmengine.registry import Registry as MMEngineRegistry

SCOPE = 'internvideo'


def import_tree(package_name: str) -> None:
    """Import ``package_name`` and every module below it."""
    package = importlib.import_module(package_name)
    for module in pkgutil.walk_packages(getattr(package, '__path__', ()), f'{package_name}.'):
        importlib.import_module(module.name)


class Registry(MMEngineRegistry):
    """A registry that imports whole packages on first use and names near misses.

    Looking up an unknown name raises :class:`KeyError` with the closest registered names,
    in place of mmengine's advice to check imports, which cannot be the reason here.

    Args:
        name: what its entries are called in messages.
        locations: packages that are imported, with all modules below, before the first lookup.
        inherited_from: mmengine's package behind the parent registry, imported when a name is
            not found without it; mmengine's own registries do not import what they list.
        replaced: names of mmengine's that do not fit this project's runner, and what to write in
            their place.
    """

    def __init__(
        self,
        name: str,
        *,
        locations: Sequence[str],
        inherited_from: str | None = None,
        replaced: Mapping[str, str] | None = None,
        **kwargs,
    ) -> None:
        super().__init__(name, locations=list(locations), **kwargs)
        self._inherited_from = inherited_from
        self._replaced = dict(replaced or {})

    def import_from_location(self) -> None:
        if self._imported:
            return
        # Set first: a module below a location may look something up while it is imported.
        self._imported = True
        try:
            for location in self._locations:
                import_tree(location)
        except BaseException:
            self._imported = False  # the next lookup shall meet the same error, not a missing name
            raise

    def get(self, key: str) -> type:
        found = self._find(key)
        if found is None and (own := self._replacement(key)):
            raise KeyError(
                f"{self.name} {key!r} is mmengine's and does not work with this project's runner; "
                f'use {own}'
            )
        if found is None:
            known = self.known_names()
            hint = near_names(str(key).rpartition('.')[2], known)
            raise KeyError(f'{key!r} is not a registered {self.name}; {hint}')
        return found

    def _replacement(self, key: str) -> str | None:
        """Replacement for a name of mmengine's that does not fit, or None."""
        if key in self.module_dict:  # a part of ours, or of a project, may have the same name
            return None
        return self._replaced.get(str(key).removeprefix('mmengine.'))

    def _find(self, key: str) -> type | None:
        self.import_from_location()
        if self._replacement(key):
            return None
        found = self._find_imported(key)
        if found is None and self._inherited_from:
            importlib.import_module(self._inherited_from)
            found = self._find_imported(key)
        return found

    def _find_imported(self, key: str) -> type | None:
        try:
            found = super().get(key)
        except RuntimeError:  # a name that cannot be a dotted path either
            return None
        return found if callable(found) else None

    def __contains__(self, key: str) -> bool:
        return self._find(key) is not None

    def known_names(self) -> list[str]:
        """Names this registry and its ancestors can build, sorted."""
        self.import_from_location()
        names, registry = set(), self
        while registry is not None:
            names.update(registry.module_dict)
            registry = registry.parent
        return sorted(names - (self._replaced.keys() - self.module_dict.keys()))


def near_names(word: str, known: Iterable[str]) -> str:
    """A hint for messages about a name that is unknown: what comes close, else all there is."""
    known = sorted(known)
    near = difflib.get_close_matches(word, known, n=3, cutoff=0.5)
    return f'did you mean {", ".join(near)}?' if near else f'known: {", ".join(known)}'


def _child(
    name: str,
    parent: MMEngineRegistry,
    location: str,
    inherited_from: str,
    replaced: Mapping[str, str] | None = None,
) -> Registry:
    return Registry(
        name,
        parent=parent,
        scope=SCOPE,
        locations=[f'{SCOPE}.{location}'],
        inherited_from=f'mmengine.{inherited_from}',
        replaced=replaced,
    )


# mmengine has two generations of runners; parts of its second one, loops that cannot resume inside
# an epoch, and what needs a GPU where ours does not, do not fit.  A name that one of ours has too
# is refused with the prefix `mmengine.` only.
REPLACED_RUNNERS = {'FlexibleRunner': 'Runner', 'Runner': 'Runner'}
REPLACED_STRATEGIES = {
    'SingleDeviceStrategy': 'SingleDevice',
    'DDPStrategy': 'DDP',
    'DeepSpeedStrategy': 'DeepSpeed',
    'FSDPStrategy': 'FSDP',
    'ColossalAIStrategy': 'DeepSpeed or FSDP',
}
REPLACED_LOOPS = {
    'EpochBasedTrainLoop': 'TrainLoop',
    'IterBasedTrainLoop': 'TrainLoop, which counts epochs (max_epochs)',
    'ValLoop': 'ValLoop',
    'TestLoop': 'TestLoop',
}
REPLACED_OPTIM_WRAPPERS = {
    'AmpOptimWrapper': 'AmpOptimWrapper',
    'ApexOptimWrapper': 'AmpOptimWrapper',
    'ColossalAIOptimWrapper': 'AmpOptimWrapper, and strategy DeepSpeed or FSDP',
    'DeepSpeedOptimWrapper': 'OptimWrapper or AmpOptimWrapper, and strategy DeepSpeed',
    'OptimWrapperDict': 'one OptimWrapper for all parameters',
}
REPLACED_OPTIMIZERS = {
    'LBFGS': 'one that steps without evaluating the loss anew, such as AdamW',
    'ZeroRedundancyOptimizer': 'AdamW, and strategy DeepSpeed with stage=1',
}

RUNNERS = _child('runner', MMENGINE_RUNNERS, 'engine', 'runner', REPLACED_RUNNERS)
LOOPS = _child('loop', MMENGINE_LOOPS, 'engine', 'runner', REPLACED_LOOPS)
HOOKS = _child('hook', MMENGINE_HOOKS, 'engine', 'hooks')
STRATEGIES = _child('strategy', MMENGINE_STRATEGIES, 'engine', '_strategy', REPLACED_STRATEGIES)
LOG_PROCESSORS = _child('log processor', MMENGINE_LOG_PROCESSORS, 'engine', 'runner')
OPTIMIZERS = _child('optimizer', MMENGINE_OPTIMIZERS, 'engine', 'optim', REPLACED_OPTIMIZERS)
OPTIM_WRAPPERS = _child(
    'optimizer wrapper', MMENGINE_OPTIM_WRAPPERS, 'engine', 'optim', REPLACED_OPTIM_WRAPPERS
)
OPTIM_WRAPPER_CONSTRUCTORS = _child(
    'optimizer wrapper constructor', MMENGINE_OPTIM_WRAPPER_CONSTRUCTORS, 'engine', 'optim'
)
PARAM_SCHEDULERS = _child('parameter scheduler', MMENGINE_PARAM_SCHEDULERS, 'engine', 'optim')

DATASETS = _child('dataset', MMENGINE_DATASETS, 'datasets', 'dataset')
DATA_SAMPLERS = _child(
    'data sampler',
    MMENGINE_DATA_SAMPLERS,
    'datasets',
    'dataset',
    {'InfiniteSampler': 'EpochSampler'},  # a loader over it ends no epoch
)
TRANSFORMS = _child('transform', MMENGINE_TRANSFORMS, 'datasets', 'dataset')
FUNCTIONS = _child('function', MMENGINE_FUNCTIONS, 'datasets', 'dataset')

MODELS = _child('model', MMENGINE_MODELS, 'models', 'model')
MODEL_WRAPPERS = _child('model wrapper', MMENGINE_MODEL_WRAPPERS, 'engine', 'model')
TASK_UTILS = _child('task utility', MMENGINE_TASK_UTILS, 'models', 'model')

METRICS = _child('metric', MMENGINE_METRICS, 'evaluation', 'evaluator')
EVALUATOR = _child('evaluator', MMENGINE_EVALUATOR, 'evaluation', 'evaluator')

VISUALIZERS = _child('visualizer', MMENGINE_VISUALIZERS, 'visualization', 'visualization')
VISBACKENDS = _child(
    'visualization backend', MMENGINE_VISBACKENDS, 'visualization', 'visualization'
)
INFERENCERS = _child('inferencer', MMENGINE_INFERENCERS, 'apis', 'infer')
WEIGHT_INITIALIZERS = _child(
    'weight initializer', MMENGINE_WEIGHT_INITIALIZERS, 'checkpoint', 'model'
)
CHECKPOINT_ADAPTERS = Registry(
    'checkpoint adapter', scope=SCOPE, locations=['internvideo.checkpoint']
)
