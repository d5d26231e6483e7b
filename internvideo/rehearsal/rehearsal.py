"""A whole rehearsal: faults, facts and a trial, for one config or for all."""

import itertools
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .dry_model import (
    ActivationModel,
    DryModel,
    largest_unit,
    model_activations,
    parameter_counts,
    tokens_per_clip,
    trunk_of,
)
from .faults import find_faults
from .findings import Finding, one_line
from .generated_data import MediaCache
from .hardware import MEMORIES, gpu_by_name
from .media_items import MediaShape
from .memory import (
    FULL,
    LAYOUTS,
    OPTIMIZER_STATES,
    Layout,
    ModelSizes,
    StaticBytes,
    layout_of,
    most_clips,
    static_bytes,
    step_peak,
)
from .mixture_plan import MediumCost, count_by_medium, plan_mixture
from .processes import ProcessFailure, run_apart
from .run_plan import RunPlan, plan_run
from .run_rules import build_optimizer
from .step_trace import Flops
from .subject import Subject, build_dry_model, load_items
from .trial_run import TrialReport, try_run

STUDY_LIMIT = 300
"""Seconds after which the study of one config is stopped."""

_RUNS = itertools.count()


@dataclass(frozen=True)
class Options:
    """What a rehearsal assumes and does.

    Attributes:
        gpus: processes; None takes ``num_gpus`` of the config, or 1.
        gpu: name of the GPU that hours are counted for.
        mfu: share of its peak that model FLOPs reach.
        samples: training videos; None counts the list or takes the public figure.
        strict: missing files are faults.
        trial: run the shrunken copy.
        facts: trace memory and FLOPs.
        all_layouts: of every strategy, not only the configured one.
    """

    gpus: int | None = None
    gpu: str = 'A100-80'
    mfu: float = 0.4
    samples: int | None = None
    strict: bool = False
    trial: bool = True
    facts: bool = True
    all_layouts: bool = True


@dataclass(frozen=True)
class LayoutFacts:
    """Memory of one strategy at the configured batch.

    Attributes:
        static: bytes that do not depend on the batch.
        activations: peak bytes beside weights, optimiser and gradients.
        peak: bytes of the whole step.
        clips: largest number of clips a forward pass can have, per GPU memory.
        frames: largest number of frames a clip can have at the configured batch, per memory.
    """

    name: str
    static: StaticBytes
    activations: int
    peak: int
    clips: dict[int, int]
    frames: dict[int, int]


@dataclass(frozen=True)
class Facts:
    """Size and cost of a config's training, or of its test when it does not train.

    With several media, what is said of a clip is said of the one whose batch takes most memory.

    Attributes:
        media: what a training item of every medium costs; empty with clips alone.
        peak: bytes of the configured step, or of testing one batch.
        plan: length of the training; None without one.
    """

    total: int
    trainable: int
    teacher_bytes: int
    flops: Flops
    tokens_per_clip: int
    clips_per_batch: int
    configured: str
    layouts: list[LayoutFacts]
    plan: RunPlan | None
    peak: int
    media: dict[str, MediumCost] = field(default_factory=dict)


@dataclass
class Rehearsal:
    """Everything found out about one config."""

    path: str
    findings: list[Finding] = field(default_factory=list)
    facts: Facts | None = None
    trial: TrialReport | None = None
    seconds: float = 0.0
    strict: bool = False

    @property
    def faults(self) -> list[Finding]:
        """Findings that count as faults."""
        return [f for f in self.findings if self.strict or not f.is_missing_file]

    @property
    def passed(self) -> bool:
        """No fault, and a trial that ran, if any was asked for."""
        return not self.faults and (self.trial is None or self.trial.passed)


def rehearse(path: str | Path, options: Options, cache: MediaCache) -> Rehearsal:
    """Rehearse the config file ``path``."""
    from mmengine.config import Config

    try:
        config = Config.fromfile(path)
    except Exception as error:  # a config is code: it may raise anything
        finding = Finding(str(path), f'cannot be read: {one_line(error)}')
        return Rehearsal(str(path), [finding])
    return rehearse_config(config, str(path), options, cache)


def rehearse_config(config: Any, path: str, options: Options, cache: MediaCache) -> Rehearsal:
    """Rehearse a config that is loaded already; ``path`` is what it is called.

    Study and trial each run in a process of their own.
    """
    start = time.perf_counter()
    result = Rehearsal(path, strict=options.strict)
    try:
        result.findings, result.facts = run_apart(study, config, options, cache, limit=STUDY_LIMIT)
    except ProcessFailure as error:
        result.findings = [Finding(path, f'cannot be studied: {error}')]
    if options.trial:
        result.trial = try_run(config, cache, f'rehearsal-{next(_RUNS)}')
    result.seconds = time.perf_counter() - start
    return result


def study(config: Any, options: Options, cache: MediaCache) -> tuple[list[Finding], Facts | None]:
    """Findings and, when nothing is at fault, facts of a config; in this process."""
    from mmengine.registry import init_default_scope

    init_default_scope(config.get('default_scope', 'internvideo'))
    world_size = options.gpus or config.get('num_gpus') or 1
    if not isinstance(world_size, int) or world_size < 1:
        return [Finding('num_gpus', f'{world_size!r} is no number of GPUs')], None
    with tempfile.TemporaryDirectory(prefix='rehearsal-lists-') as folder:
        findings, subject = find_faults(config, world_size, cache, Path(folder))
    at_fault = any(not finding.is_missing_file for finding in findings)
    wanted = options.facts and not at_fault
    return findings, gather_facts(subject, options) if wanted else None


def gather_facts(subject: Subject, options: Options) -> Facts | None:
    """Sizes, FLOPs, memory of the strategies, and length of the run; None without items."""
    if subject.is_multimodal:
        return gather_media_facts(subject, options)
    if subject.asks and not subject.trains and subject.dry is not None:
        return gather_test_facts(subject)
    if subject.dry is None or subject.clip is None:
        return None
    config, world = subject.config, subject.world_size
    total, trainable = parameter_counts(subject.dry.model)
    layout = layout_of(config.get('strategy'), world)
    layouts = list(LAYOUTS.values()) if options.all_layouts else [layout]
    traced: dict[str, tuple[ActivationModel, Flops]] = {}
    for precision in dict.fromkeys(layout.trace_precision for layout in layouts):
        dry = subject.dry if precision == 'amp' else DryModel(config['model'], precision)
        traced[precision] = model_activations(dry, subject.clip)
    sizes = model_sizes(subject, total, trainable)
    flops = next(iter(traced.values()))[1]
    tokens = tokens_per_clip(subject.dry.model)
    found = [
        layout_facts(each, sizes, world, traced[each.trace_precision][0], subject)
        for each in layouts
        if world > 1 or not each.needs_group
    ]
    return Facts(
        total=total,
        trainable=trainable,
        teacher_bytes=subject.dry.teacher_bytes,
        flops=flops,
        tokens_per_clip=tokens,
        clips_per_batch=subject.clips_per_batch,
        configured=layout.name,
        layouts=found,
        peak=configured_peak(found, layout.name),
        plan=plan_run(
            config,
            world,
            flops.model,
            tokens,
            gpu_by_name(options.gpu),
            options.mfu,
            options.samples,
        ),
    )


def gather_media_facts(subject: Subject, options: Options) -> Facts | None:
    """Facts of a config whose data are media with texts; None when they are not known."""
    trained = subject.shapes.get('train_dataloader')
    if subject.dry is None or not subject.shapes:
        return None
    if not trained:
        return gather_test_facts(subject)
    config, world, dry = subject.config, subject.world_size, subject.dry
    total, trainable = parameter_counts(dry.model)
    layout = layout_of(config.get('strategy'), world)
    traces = {shape: dry.trace(shape, 2) for shape in trained}
    counts, _ = count_by_medium(config['train_dataloader']['dataset'])
    costs = {
        shape.media: MediumCost(
            batch=subject.batch_of(shape.media),
            flops=trace.flops.model / 2,
            tokens=tokens_of(dry.model, shape),
            items=counts.get(shape.media, 0),
        )
        for shape, trace in traces.items()
    }
    largest = max(trained, key=lambda s: traces[s].peak * costs[s.media].batch)
    layouts = list(LAYOUTS.values()) if options.all_layouts else [layout]
    used = [each for each in layouts if world > 1 or not each.needs_group]
    traced = {layout.trace_precision: model_activations(dry, largest)}
    for precision in {each.trace_precision for each in used} - traced.keys():
        traced[precision] = model_activations(DryModel(config['model'], precision), largest)
    sizes = model_sizes(subject, total, trainable)
    found = [
        layout_facts(each, sizes, world, traced[each.trace_precision][0], subject, largest)
        for each in used
    ]
    return Facts(
        total=total,
        trainable=trainable,
        teacher_bytes=dry.teacher_bytes,
        flops=traced[layout.trace_precision][1],
        tokens_per_clip=costs[largest.media].tokens,
        clips_per_batch=costs[largest.media].batch,
        configured=layout.name,
        layouts=found,
        plan=plan_mixture(config, world, costs, gpu_by_name(options.gpu), options.mfu),
        peak=configured_peak(found, layout.name),
        media=costs,
    )


def gather_test_facts(subject: Subject) -> Facts:
    """Facts of encoding the media of a test: float32 weights, and one batch under way."""
    found = subject.shapes or {
        name: [subject.batch_shape(name, item)] for name, item in subject.items.items()
    }
    (name, shapes), dry = next(iter(found.items())), subject.dry
    total, trainable = parameter_counts(dry.model)
    batch = subject.loaders[name].get('batch_size', 1)
    traces = {shape: dry.predict(shape, batch) for shape in shapes}
    largest = max(shapes, key=lambda shape: traces[shape].peak)
    return Facts(
        total=total,
        trainable=trainable,
        teacher_bytes=dry.teacher_bytes,
        flops=Flops(round(traces[largest].flops.forward / batch)),
        tokens_per_clip=tokens_of(dry.model, largest),
        clips_per_batch=batch,
        configured='test',
        layouts=[],
        plan=None,
        peak=FULL * total + traces[largest].peak,
    )


def tokens_of(model: Any, shape: MediaShape) -> int:
    """Tokens of the pictures of one item in the trunk's grid."""
    trunk = trunk_of(model)
    if shape.video is None or trunk is None:
        return 0
    return tokens_per_clip(model) * shape.frames // (trunk.grid[0] * trunk.tubelet_size)


def configured_peak(layouts: Sequence[LayoutFacts], name: str) -> int:
    """Bytes of a step under the strategy called ``name``."""
    return next(each.peak for each in layouts if each.name == name)


def model_facts(config: Any, world_size: int = 1) -> tuple[ModelSizes, float]:
    """Sizes of a config's model, and the FLOPs of a training step of one clip.

    Raises:
        ValueError: its data set or its model cannot be built; says why.
    """
    subject = Subject(config, world_size)
    with tempfile.TemporaryDirectory(prefix='rehearsal-') as folder:
        cache = MediaCache(Path(folder) / 'media')
        cache.root.mkdir()
        findings = [*load_items(subject, cache, Path(folder)), *build_dry_model(subject)]
    if findings or subject.clip is None:
        raise ValueError('; '.join(str(finding) for finding in findings) or 'no training clip')
    sizes = model_sizes(subject, *parameter_counts(subject.dry.model))
    return sizes, subject.dry.trace(subject.clip, 2).flops.model / 2


def model_sizes(subject: Subject, total: int, trainable: int) -> ModelSizes:
    """Sizes that decide memory, with the optimiser's parameter groups."""
    config = subject.config
    optimizer = build_optimizer(config).optimizer
    groups = [sum(p.numel() for p in group['params']) for group in optimizer.param_groups]
    kind = config['optim_wrapper']['optimizer']['type']
    hooks = config.get('custom_hooks') or ()
    return ModelSizes(
        total=total,
        trainable=trainable,
        unit=largest_unit(subject.dry.model),
        group=max(groups),
        states=OPTIMIZER_STATES.get(kind, 2),
        ema=any('EMA' in hook.get('type', '') for hook in hooks),
        constant=subject.dry.teacher_bytes,
        validates=config.get('val_cfg') is not None,
    )


def layout_facts(
    layout: Layout,
    sizes: ModelSizes,
    world: int,
    activations: ActivationModel,
    subject: Subject,
    shape: MediaShape | None = None,
) -> LayoutFacts:
    """Memory of one strategy, with batches of clips or, if given, of ``shape``."""
    static = static_bytes(layout, sizes, world)
    clips = subject.clips_per_batch if shape is None else subject.batch_of(shape.media)
    frames = (shape or subject.clip).frames
    accumulates = subject.config['optim_wrapper'].get('accumulative_counts', 1) > 1
    most = {memory: most_clips(static, activations, memory, accumulates) for memory in MEMORIES}
    return LayoutFacts(
        name=layout.name,
        static=static,
        activations=activations.peak(clips),
        peak=step_peak(static, activations, clips, accumulates),
        clips=most,
        # Attention is computed in tiles: bytes grow with tokens, so frames cost what clips cost.
        frames={memory: frames * n // clips for memory, n in most.items()},
    )


def leaves(folder: str | Path) -> list[Path]:
    """Config files below ``folder`` that are not bases of others.

    Raises:
        FileNotFoundError: there is none.
    """
    found = sorted(p for p in Path(folder).rglob('*.py') if '_base_' not in p.parts)
    if not found:
        raise FileNotFoundError(f'no config below {folder}')
    return found


def rehearse_all(
    paths: Sequence[str | Path], options: Options, cache: MediaCache, jobs: int = 1
) -> Iterator[Rehearsal]:
    """Rehearse config files, ``jobs`` at a time, in the order given.

    Raises:
        ValueError: the GPU of ``options`` is not known.
    """
    gpu_by_name(options.gpu)
    cache.prepare()
    with ThreadPoolExecutor(max(jobs, 1)) as threads:  # each waits for a process of its own
        yield from threads.map(lambda path: rehearse(path, options, cache), paths)
