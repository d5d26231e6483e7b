"""Size and cost of a config: parameters, FLOPs, memory of every strategy, length of the run."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from .batches import BatchTemplate
from .fake_model import (
    ActivationModel,
    FakeModel,
    largest_unit,
    model_activations,
    parameter_counts,
    tokens_per_clip,
    video_encoder_of,
)
from .hardware import MEMORIES, gpu_by_name
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
from .options import Options
from .rehearsed_config import TRAIN, RehearsedConfig
from .run_length import ItemCost, RunLength, run_length
from .run_rules import build_optimizer
from .step_trace import Flops, StepTrace


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
class ConfigFacts:
    """Size and cost of a config's training, or of its test when it does not train.

    With several kinds of items, what is said of a clip is said of the kind whose batch takes most
    memory.

    Attributes:
        kinds: what a training item of every kind costs; empty where all are alike.
        peak: bytes of the configured step, or of testing one batch.
        length: of the training; None without one.
    """

    total: int
    trainable: int
    teacher_bytes: int
    flops: Flops
    tokens_per_clip: int
    clips_per_batch: int
    configured: str
    layouts: list[LayoutFacts]
    length: RunLength | None
    peak: int
    kinds: dict[str, ItemCost] = field(default_factory=dict)


def gather_facts(rehearsed: RehearsedConfig, options: Options) -> ConfigFacts | None:
    """Sizes, FLOPs, memory of the strategies and length of the run, None when not known."""
    if rehearsed.fake is None or rehearsed.untraced or not rehearsed.observed:
        return None
    if not rehearsed.trains:
        return _test_facts(rehearsed)
    if not rehearsed.training:
        return None
    return _training_facts(rehearsed, options)


def _training_facts(rehearsed: RehearsedConfig, options: Options) -> ConfigFacts | None:
    config, world, fake = rehearsed.config, rehearsed.world_size, rehearsed.fake
    total, trainable = parameter_counts(fake.model)
    try:
        layout = layout_of(config.get('strategy'), world)
    except ValueError as error:
        rehearsed.notes.append(f'memory is not told: {error}')
        return None
    # Two rows, the size that the rules have traced already: the trace comes from the cache.
    traces = {each: fake.trace(each, 2 * each.per_row) for each in rehearsed.training}
    costs = item_costs(rehearsed, traces, options)
    largest = max(
        rehearsed.training,
        key=lambda each: traces[each].peak * costs[each.kind].batch / each.per_row,
    )
    layouts = list(LAYOUTS.values()) if options.all_layouts else [layout]
    used = [each for each in layouts if world > 1 or not each.needs_group]
    # Traces take long: a precision is traced only where a layout computes in it.
    own = 'amp' if fake.autocast is not None else 'bf16'
    traced = {}
    for precision in dict.fromkeys(each.trace_precision for each in used):
        model = fake if precision == own else FakeModel(config['model'], precision)
        traced[precision], _ = model_activations(model, largest)
    sizes = model_sizes(rehearsed, total, trainable)
    found = [layout_facts(each, sizes, traced[each.trace_precision], rehearsed, largest)
             for each in used]  # fmt: skip
    cost = costs[largest.kind]
    return ConfigFacts(
        total=total,
        trainable=trainable,
        teacher_bytes=fake.teacher_bytes,
        flops=traces[largest].flops.of_each(2 * largest.per_row),
        tokens_per_clip=cost.tokens,
        clips_per_batch=cost.batch,
        configured=layout.name,
        layouts=found,
        length=_length(rehearsed, costs, options),
        peak=next((each.peak for each in found if each.name == layout.name), 0),
        kinds=costs if any(costs) else {},
    )


def item_costs(
    rehearsed: RehearsedConfig, traces: Mapping[BatchTemplate, StepTrace], options: Options
) -> dict[str, ItemCost]:
    """Cost of a training item of each kind."""
    counts = rehearsed.count_items(TRAIN).by_kind
    return {
        template.kind: ItemCost(
            batch=rehearsed.items_per_batch(template),
            flops=trace.flops.model / (2 * template.per_row),
            tokens=tokens_of(rehearsed.model, template),
            items=counts.get(template.kind, 0),
            per_row=template.per_row,
        )
        for template, trace in traces.items()
    }


def _length(
    rehearsed: RehearsedConfig, costs: Mapping[str, ItemCost], options: Options
) -> RunLength | None:
    if not isinstance(rehearsed.config['train_cfg'].get('max_epochs'), int):
        return None
    count = rehearsed.count_items(TRAIN)
    if options.samples is not None and len(costs) == 1:
        count = type(count)({next(iter(costs)): options.samples})
    gpu = gpu_by_name(options.gpu)
    world = rehearsed.world_size
    return run_length(rehearsed.config, world, costs, count, gpu, options.mfu)


def _test_facts(rehearsed: RehearsedConfig) -> ConfigFacts:
    """Facts of encoding the media of a test: float32 weights, and one batch under way."""
    (name, observed), fake = next(iter(rehearsed.observed.items())), rehearsed.fake
    total, trainable = parameter_counts(fake.model)
    batch = rehearsed.batch_size(loader=name)
    traces = {each: fake.predict(each, batch * each.per_row) for each in observed.templates}
    largest = max(observed.templates, key=lambda each: traces[each].peak)
    return ConfigFacts(
        total=total,
        trainable=trainable,
        teacher_bytes=fake.teacher_bytes,
        flops=Flops(round(traces[largest].flops.forward / batch)),
        tokens_per_clip=tokens_of(fake.model, largest),
        clips_per_batch=batch,
        configured='test',
        layouts=[],
        length=None,
        peak=FULL * total + traces[largest].peak,
    )


def tokens_of(model: Any, template: BatchTemplate) -> int:
    """Tokens of the pictures of one item in the encoder's grid."""
    encoder = video_encoder_of(model)
    whole = tokens_per_clip(model)
    if not whole or not template.frames:
        return 0
    frames = template.frames // getattr(model, 'frame_stride', 1)
    return whole * frames // (encoder.grid[0] * getattr(encoder, 'tubelet_size', 1))


def model_sizes(rehearsed: RehearsedConfig, total: int, trainable: int) -> ModelSizes:
    """Sizes that decide memory, with the optimiser's parameter groups."""
    config = rehearsed.config
    optimizer = build_optimizer(config).optimizer
    groups = [sum(p.numel() for p in group['params']) for group in optimizer.param_groups]
    kind = config['optim_wrapper']['optimizer']['type']
    hooks = config.get('custom_hooks') or ()
    return ModelSizes(
        total=total,
        trainable=trainable,
        unit=largest_unit(rehearsed.model),
        group=max(groups),
        states=OPTIMIZER_STATES.get(kind, 2),
        ema=any('EMA' in str(hook.get('type', '')) for hook in hooks),
        constant=rehearsed.fake.teacher_bytes,
        validates=config.get('val_cfg') is not None,
    )


def layout_facts(
    layout: Layout,
    sizes: ModelSizes,
    activations: ActivationModel,
    rehearsed: RehearsedConfig,
    template: BatchTemplate,
) -> LayoutFacts:
    """Memory of one strategy, with batches like ``template``."""
    static = static_bytes(layout, sizes, rehearsed.world_size)
    clips, frames = rehearsed.items_per_batch(template), template.frames
    accumulates = rehearsed.config['optim_wrapper'].get('accumulative_counts', 1) > 1
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
