"""Settings of DeepSpeed, written out in full because its defaults change between versions."""

from typing import Any

PRECISIONS = ('fp32', 'bf16', 'fp16')
NEVER = 10**9  # steps between DeepSpeed's own progress lines: the runner's serve
CPU_BUCKET = 1_000_000  # elements; larger buckets only cost memory where nothing overlaps

# The ZeRO settings of the published recipes, by stage.
_PUBLISHED_ZERO: dict[str, dict[int, dict[str, Any]]] = {
    'single_modality': {
        1: dict(reduce_bucket_size=5e8),
        2: dict(
            contiguous_gradients=True,
            overlap_comm=True,
            reduce_scatter=True,
            reduce_bucket_size=5e8,
            allgather_bucket_size=5e8,
        ),
        3: dict(
            contiguous_gradients=True,
            overlap_comm=True,
            reduce_scatter=True,
            reduce_bucket_size=5e4,
            allgather_bucket_size=5e4,
            stage3_max_live_parameters=1e5,
            stage3_max_reuse_distance=1e5,
        ),
    },
    'multi_modality': {
        1: dict(reduce_bucket_size=5e8),
        2: dict(
            contiguous_gradients=False,
            overlap_comm=False,
            reduce_scatter=True,
            reduce_bucket_size=5e8,
            allgather_bucket_size=5e8,
        ),
        3: dict(
            contiguous_gradients=True,
            stage3_max_live_parameters=1e9,
            stage3_max_reuse_distance=1e9,
            stage3_prefetch_bucket_size=1e7,
            stage3_param_persistence_threshold=1e5,
            reduce_bucket_size=1e7,
            sub_group_size=1e9,
        ),
    },
}
_SCALING = dict(loss_scale=0, initial_scale_power=16, hysteresis=2, min_loss_scale=1)
_PUBLISHED_SCALING: dict[str, dict[str, Any]] = {
    'single_modality': dict(_SCALING, loss_scale_window=500),
    'multi_modality': dict(
        _SCALING, loss_scale_window=1000, auto_cast=False, consecutive_hysteresis=False
    ),
}
RECIPES = tuple(_PUBLISHED_ZERO)


def deepspeed_config(
    stage: int,
    micro_batch_size: int = 1,
    world_size: int = 1,
    accumulation: int = 1,
    precision: str = 'fp32',
    gradient_clipping: float = 0.0,
    recipe: str = 'multi_modality',
    offload_optimizer: bool = False,
    offload_param: bool = False,
    on_cpu: bool = False,
    zero: dict[str, Any] | None = None,
    loss_scaling: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Settings for ``deepspeed.initialize`` with an optimiser of the caller's.

    Args:
        stage: 0 plain data parallel; 1 the optimiser is sharded, 2 the gradients too, 3 the
            weights too.
        micro_batch_size: Samples per process and batch.
        world_size: Number of processes.
        accumulation: Batches per optimiser step.
        precision: ``fp32``, or weights in ``bf16`` or ``fp16`` with a float32 copy to step.
        gradient_clipping: Largest gradient norm; 0 for none.
        recipe: Whose published settings to start from, ``single_modality`` or
            ``multi_modality``.
        offload_optimizer: Keep the optimiser in main memory (stages 1 to 3).
        offload_param: Keep the weights in main memory (stage 3).
        on_cpu: Small buckets and no overlap, which needs streams.
        zero: ``zero_optimization`` settings that replace the recipe's.
        loss_scaling: ``fp16`` settings that replace the recipe's.

    Raises:
        ValueError: an unknown stage, precision or recipe, or an offload the stage cannot do.
    """
    _check(stage, precision, recipe, offload_optimizer, offload_param)
    config = dict(
        train_batch_size=micro_batch_size * world_size * accumulation,
        train_micro_batch_size_per_gpu=micro_batch_size,
        gradient_accumulation_steps=accumulation,
        # Always written: since 0.19.4 the default is 1.0, which clips runs that ask for none.
        gradient_clipping=float(gradient_clipping),
        steps_per_print=NEVER,
        # The optimiser is the config's, on CPUs too: DeepSpeed's own is compiled for minutes.
        zero_allow_untested_optimizer=True,
        zero_force_ds_cpu_optimizer=False,
        bf16=dict(enabled=precision == 'bf16'),
        fp16=dict(enabled=precision == 'fp16'),
    )
    if precision == 'fp16':
        config['fp16'].update(_PUBLISHED_SCALING[recipe], **(loss_scaling or {}))
    if stage:
        settings = dict(stage=stage, **_PUBLISHED_ZERO[recipe][stage])
        if on_cpu:
            settings.update(_for_cpu(settings))
        if offload_optimizer:
            settings['offload_optimizer'] = dict(device='cpu')
        if offload_param:
            settings['offload_param'] = dict(device='cpu')
        config['zero_optimization'] = {**settings, **(zero or {})}
    return config


def _for_cpu(settings: dict[str, Any]) -> dict[str, Any]:
    """Changes for a run without a GPU."""
    names = ('reduce_bucket_size', 'allgather_bucket_size', 'stage3_prefetch_bucket_size')
    buckets = {n: min(settings[n], CPU_BUCKET) for n in names if n in settings}
    buckets.setdefault('reduce_bucket_size', CPU_BUCKET)
    buckets.setdefault('allgather_bucket_size', CPU_BUCKET)
    return dict(buckets, overlap_comm=False)


def _check(stage: int, precision: str, recipe: str, optimizer: bool, param: bool) -> None:
    if stage not in (0, 1, 2, 3):
        raise ValueError(f'DeepSpeed: stage must be 0, 1, 2 or 3, got {stage!r}')
    if precision not in PRECISIONS:
        raise ValueError(f'DeepSpeed: precision must be one of {PRECISIONS}, got {precision!r}')
    if recipe not in RECIPES:
        raise ValueError(f'DeepSpeed: recipe must be one of {RECIPES}, got {recipe!r}')
    if optimizer and stage == 0:
        raise ValueError('DeepSpeed: offload_optimizer needs stage 1, 2 or 3')
    if param and stage != 3:
        raise ValueError(f'DeepSpeed: offload_param needs stage 3, got stage {stage}')
