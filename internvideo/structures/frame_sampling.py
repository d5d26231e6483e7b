"""Choice and geometry of the frames that a model was trained and validated with."""

import inspect
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from internvideo.registry import TRANSFORMS

Step = dict[str, Any]
PROTOCOL_MODES = ('train', 'val', 'test')
PROTOCOL_FIELDS = ('num_views', 'num_crops', 'allow_short')
CROPS = ('CenterCrop', 'UniformCrops')
SPLITS = ('val', 'test')


@dataclass(frozen=True)
class FrameSampling:
    """Choice of the frames of a video, and the way that they are read and brought to size.

    Training writes it into its checkpoints.  Views, crops and the mode of a rule (``val``,
    ``test``) belong to the protocol of an evaluation: they are recorded, not compared.

    Attributes:
        sampling: config of the transform that chooses the frames: rule, number, stride, rate.
        pipeline: configs of what the frames go through, packing last.
        backend: video reader; every one gives the same frames or refuses the file.
        test: that of the test data, where it differs beyond the protocol.
    """

    sampling: Step
    pipeline: tuple[Step, ...]
    backend: str = 'auto'
    test: 'FrameSampling | None' = None

    @classmethod
    def of_config(cls, config: Mapping[str, Any]) -> 'FrameSampling | None':
        """Take that of the validation data of a config, else of its test data, else None."""
        datasets = [evaluation_dataset(config, split) for split in SPLITS]
        val, test = (dataset and cls.of_dataset(dataset) for dataset in datasets)
        if val is None or test is None:
            return val or test
        return replace(val, test=test) if val.differences(test) else val

    def of_split(self, split: str) -> 'FrameSampling':
        """Take that of ``'val'`` or ``'test'`` data."""
        return self.test if split == 'test' and self.test else self

    @classmethod
    def of_dataset(cls, dataset: Mapping[str, Any]) -> 'FrameSampling':
        """Take that of a data set's config, which has ``sampling`` and ``pipeline``."""
        optional = {key: dataset[key] for key in ('backend',) if key in dataset}
        plain = _plain(dict(sampling=dataset['sampling'], pipeline=dataset['pipeline'], **optional))
        return cls(**(plain | dict(pipeline=tuple(plain['pipeline']))))

    @property
    def num_frames(self) -> int | None:
        """Frames of a clip, None where the rule says another thing."""
        return self.sampling.get('num_frames')

    @property
    def size(self) -> list[int] | None:
        """Height and width that the last step with one leaves, None if none says both."""
        sizes = [step['size'] for step in self.pipeline[:-1] if step.get('size') is not None]
        return _as_pair('.size', sizes[-1]) if sizes else None

    def to_dict(self) -> dict[str, Any]:
        """Plain lists, dicts, texts and numbers."""
        return _plain(asdict(self))

    @classmethod
    def from_dict(cls, fields: Any) -> 'FrameSampling':
        """Inverse of :meth:`to_dict`, for values of any origin.

        Raises:
            ValueError: a field or its type is wrong, or it names a transform that is not
                registered here.
        """
        if not isinstance(fields, Mapping) or set(fields) - set(cls.__dataclass_fields__):
            raise ValueError(f'frame_sampling holds {fields!r:.200}, not the fields of a choice')
        fields = dict(fields)
        test = fields.pop('test', None)
        sampling, pipeline = fields.pop('sampling', None), fields.pop('pipeline', None)
        if not isinstance(pipeline, list | tuple) or not pipeline:
            raise ValueError(f'frame_sampling.pipeline is {pipeline!r:.200}, not a list of steps')
        for step in (sampling, *pipeline):
            _check_step(step)
        own = cls.of_dataset(dict(fields, sampling=sampling, pipeline=pipeline))
        return own if test is None else replace(own, test=cls.from_dict(test))

    def differences(self, other: 'FrameSampling') -> dict[str, tuple[Any, Any]]:
        """Fields that are not the same whatever the protocol -> the two values."""
        mine, theirs = self._facts(), other._facts()
        return {
            name: (mine[name], theirs[name])
            # Fields of one alone follow from another kind of rule or step, which is told.
            for name in mine.keys() & theirs.keys()
            if _as_pair(name, mine[name]) != _as_pair(name, theirs[name])
        }

    def over(self, dataset: Mapping[str, Any]) -> dict[str, Any]:
        """Fields that make a data set's config choose these frames in its own protocol."""
        other = FrameSampling.of_dataset(dataset)
        crop = next((step for step in other.pipeline if step['type'] in CROPS), None)
        steps = [_with_own_crop(step, crop) for step in self.pipeline[:-1]]
        sampling = _in_protocol(self.sampling, other.sampling)
        return dict(sampling=sampling, pipeline=[*steps, other.pipeline[-1]])

    def _facts(self) -> dict[str, Any]:
        """Fields that decide the frames, by dotted names."""
        steps = self.pipeline[:-1]  # packing does not change pixels
        names = ['crop' if step['type'] in CROPS else step['type'] for step in steps]
        facts = {'sampling.type': self.sampling['type'], 'pipeline': ', '.join(names)}
        facts |= {f'sampling.{key}': value for key, value in _rule(self.sampling).items()}
        for number, (name, step) in enumerate(zip(names, steps, strict=True)):
            label = name if names.count(name) == 1 else f'{name} {number}'
            facts |= {f'{label}.{key}': value for key, value in _rule(step).items()}
        if facts.get('crop.size', ()) is None:  # the short side, which resizing says
            del facts['crop.size']
        return facts


def evaluation_dataset(config: Mapping[str, Any], split: str) -> Mapping[str, Any] | None:
    """Config of the data set of a split whose frames it chooses itself, or None."""
    dataset = (config.get(f'{split}_dataloader') or {}).get('dataset')
    while isinstance(dataset, Mapping) and isinstance(dataset.get('dataset'), Mapping):
        dataset = dataset['dataset']  # a part of a data set
    if not isinstance(dataset, Mapping):
        return None
    steps = (dataset.get('sampling'), *(dataset.get('pipeline') or [None]))
    # Callables in place of configs cannot be recorded.
    return dataset if all(isinstance(step, Mapping) for step in steps) else None


def _plain(value: Any) -> Any:
    return json.loads(json.dumps(value, default=str))


def _check_step(step: Any) -> None:
    """Refuse what is no config of a transform of this project, on every level.

    Registries import what a dotted name says: a checkpoint must not choose that.
    """
    if not isinstance(step, Mapping):
        raise ValueError(f'frame_sampling holds {step!r:.200} in place of a transform')
    TRANSFORMS.import_from_location()
    for name in _types(step):
        if not isinstance(name, str) or name not in TRANSFORMS.module_dict:
            raise ValueError(
                f'frame_sampling names {name!r:.100}, which is no transform that is registered here'
            )


def _types(value: Any) -> list[Any]:
    if isinstance(value, Mapping):
        below = [name for item in value.values() for name in _types(item)]
        return [value['type'], *below] if 'type' in value else below
    if isinstance(value, list | tuple):
        return [name for item in value for name in _types(item)]
    return []


def _arguments(step: Step) -> Mapping[str, inspect.Parameter]:
    return inspect.signature(TRANSFORMS.get(step['type'])).parameters


def _rule(step: Step) -> dict[str, Any]:
    """Fields of a transform beside its type and protocol, with defaults."""
    parameters = _arguments(step).items()
    fields = {key: p.default for key, p in parameters if p.default is not p.empty} | step
    if fields.get('mode') in PROTOCOL_MODES:
        del fields['mode']
    if step['type'] in CROPS:
        return dict(size=fields['size'])
    return {k: v for k, v in fields.items() if k not in ('type', *PROTOCOL_FIELDS)}


def _as_pair(name: str, value: Any) -> Any:
    """Write a size that is one number as two, and tuples as lists."""
    if name.endswith('.size') and isinstance(value, int):
        return [value, value]
    return list(value) if isinstance(value, Sequence) and not isinstance(value, str) else value


def _with_own_crop(step: Step, crop: Step | None) -> Step:
    if step['type'] not in CROPS or crop is None or step.get('size') is None:
        return step
    return dict(crop, size=step['size'])


def _in_protocol(record: Step, other: Step) -> Step:
    """``record`` with the mode and the views of ``other`` where its transform has these."""
    takes = _arguments(record)
    kept = {k: v for k, v in other.items() if k in PROTOCOL_FIELDS and k in takes}
    step = {k: v for k, v in record.items() if k not in PROTOCOL_FIELDS} | kept
    if {record.get('mode'), other.get('mode')} <= set(PROTOCOL_MODES):
        step['mode'] = other['mode']
    if step.get('mode') == 'val':  # one view, whatever the other rule calls its views
        step.pop('num_views', None)
    return step
