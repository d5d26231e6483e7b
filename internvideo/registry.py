"""Every registry of the project: children of mmengine's, in the scope ``internvideo``.

A registry names the packages its parts live in.  The first lookup imports every module below
those packages, so a new part is one new file: no list of imports has to be kept, and what can be
built never depends on what was imported before.  Modules therefore stay cheap to import: a heavy
optional library (transformers, peft, deepspeed, ...) is imported by the constructor that needs it.
"""

import difflib
import importlib
import pkgutil

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
    """

    def import_from_location(self) -> None:
        if not self._imported:
            # Set first: a module below a location may look something up while it is imported.
            self._imported = True
            for location in self._locations:
                import_tree(location)

    def get(self, key: str) -> type:
        found = super().get(key)
        if found is None:
            known = self.known_names()
            near = difflib.get_close_matches(str(key), known, n=3, cutoff=0.5)
            hint = f'did you mean {", ".join(near)}?' if near else f'known: {", ".join(known)}'
            raise KeyError(f'{key!r} is not a registered {self.name}; {hint}')
        return found

    def __contains__(self, key: str) -> bool:
        return super().get(key) is not None

    def known_names(self) -> list[str]:
        """Names this registry and its ancestors can build, sorted."""
        self.import_from_location()
        names, registry = set(), self
        while registry is not None:
            names.update(registry.module_dict)
            registry = registry.parent
        return sorted(names)


def _child(name: str, parent: MMEngineRegistry, *locations: str) -> Registry:
    return Registry(name, parent=parent, scope=SCOPE, locations=list(locations))


RUNNERS = _child('runner', MMENGINE_RUNNERS, 'internvideo.engine')
LOOPS = _child('loop', MMENGINE_LOOPS, 'internvideo.engine')
HOOKS = _child('hook', MMENGINE_HOOKS, 'internvideo.engine')
STRATEGIES = _child('strategy', MMENGINE_STRATEGIES, 'internvideo.engine')
LOG_PROCESSORS = _child('log processor', MMENGINE_LOG_PROCESSORS, 'internvideo.engine')
OPTIMIZERS = _child('optimizer', MMENGINE_OPTIMIZERS, 'internvideo.engine')
OPTIM_WRAPPERS = _child('optimizer wrapper', MMENGINE_OPTIM_WRAPPERS, 'internvideo.engine')
OPTIM_WRAPPER_CONSTRUCTORS = _child(
    'optimizer wrapper constructor', MMENGINE_OPTIM_WRAPPER_CONSTRUCTORS, 'internvideo.engine'
)
PARAM_SCHEDULERS = _child('parameter scheduler', MMENGINE_PARAM_SCHEDULERS, 'internvideo.engine')

DATASETS = _child('dataset', MMENGINE_DATASETS, 'internvideo.datasets')
DATA_SAMPLERS = _child('data sampler', MMENGINE_DATA_SAMPLERS, 'internvideo.datasets')
TRANSFORMS = _child('transform', MMENGINE_TRANSFORMS, 'internvideo.datasets')
FUNCTIONS = _child('function', MMENGINE_FUNCTIONS, 'internvideo.datasets')

MODELS = _child('model', MMENGINE_MODELS, 'internvideo.models')
MODEL_WRAPPERS = _child('model wrapper', MMENGINE_MODEL_WRAPPERS, 'internvideo.engine')
TASK_UTILS = _child('task utility', MMENGINE_TASK_UTILS, 'internvideo.models')

METRICS = _child('metric', MMENGINE_METRICS, 'internvideo.evaluation')
EVALUATOR = _child('evaluator', MMENGINE_EVALUATOR, 'internvideo.evaluation')

VISUALIZERS = _child('visualizer', MMENGINE_VISUALIZERS, 'internvideo.visualization')
VISBACKENDS = _child('visualization backend', MMENGINE_VISBACKENDS, 'internvideo.visualization')
INFERENCERS = _child('inferencer', MMENGINE_INFERENCERS, 'internvideo.apis')
CHECKPOINT_ADAPTERS = Registry(
    'checkpoint adapter', scope=SCOPE, locations=['internvideo.checkpoint']
)
