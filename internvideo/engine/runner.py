"""Runner with strategies, safe checkpoints and exact resuming."""

import inspect
import itertools
import time
from collections.abc import Mapping
from functools import cached_property, partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any, ClassVar

import torch
from mmengine.dist import barrier, broadcast_object_list, get_world_size, is_main_process
from mmengine.evaluator import Evaluator
from mmengine.logging import MMLogger
from mmengine.optim import OptimWrapper, OptimWrapperDict
from mmengine.runner import BaseLoop
from mmengine.runner import Runner as MMEngineRunner
from mmengine.visualization import Visualizer
from torch import nn
from torch.utils.data import DataLoader

import internvideo
from internvideo.checkpoint.training_state.background_writer import BackgroundWriter
from internvideo.checkpoint.training_state.checkpoint_files import (
    CheckpointError,
    as_plain,
    checkpoint_name,
    find_resumable,
    plain_copy,
    read_training_state,
    write_checkpoint,
    write_pointer,
)
from internvideo.checkpoint.training_state.optimizer_shards import remove_with_shards, shard_path
from internvideo.checkpoint.training_state.random_state import seed_all, set_random_state
from internvideo.checkpoint.training_state.run_state import (
    dataset_metainfo,
    derived_seed,
    gather_random_states,
    pack_messages,
    unpack_messages,
)
from internvideo.engine.console import keep_dumps_in_file, loader_facts, model_facts
from internvideo.engine.hooks.interrupt_hook import Interrupted, shield_worker
from internvideo.engine.learning_rate_scaling import counted_sizes, lr_factor, scale_rates
from internvideo.engine.run_config import RunConfig
from internvideo.engine.schedulers.step_schedules import Horizon
from internvideo.engine.strategies.strategy import Strategy
from internvideo.models.tasks.base import VideoModel
from internvideo.registry import (
    DATA_SAMPLERS,
    DATASETS,
    FUNCTIONS,
    LOOPS,
    PARAM_SCHEDULERS,
    RUNNERS,
    STRATEGIES,
)
from internvideo.structures.frame_sampling import FrameSampling

WORKER_ONLY = ('persistent_workers', 'prefetch_factor')
BAD_SAMPLES = 'bad_samples.jsonl'
RUNNER_FIELDS = {
    *inspect.signature(MMEngineRunner.__init__).parameters,
    *('compile', 'custom_imports', 'lr_scaling', 'strategy', 'trusted_pickle'),
} - {'self', 'cfg'}


@RUNNERS.register_module()
class Runner(MMEngineRunner):
    """Runner of mmengine with further config keys.

    ``strategy``: a registered strategy, or ``auto`` (see :func:`automatic_strategy`).
    ``lr_scaling``: ``dict(base_batch_size=256, with_accumulation=True, with_repeats=True)``:
    learning rates in the config are for steps of that many samples, of which repeated
    augmentations are some ``with_repeats``; False: they are final.  ``resume``: True or ``auto``
    (the newest whole checkpoint of the work directory, if any) or a path.  ``compile``: True or the
    arguments of ``torch.compile``, applied to the video encoder.  ``trusted_pickle``: ``load_from``
    may hold any Python objects.

    Random draws: building a model draws alike on all processes; training draws from
    ``randomness.seed + rank``.
    """

    strategy: Strategy
    _timestamps: ClassVar[set[str]] = set()

    @classmethod
    def from_cfg(cls, cfg: Any) -> 'Runner':
        """Build the runner from a whole config, in the scope ``internvideo`` by default."""
        cfg.setdefault('default_scope', 'internvideo')
        return super().from_cfg(cfg)

    # --- building -------------------------------------------------------------------------------

    def setup_env(self, env_cfg: dict) -> None:
        """Set up the environment with a time stamp of its own for every run of this process."""
        super().setup_env(env_cfg)
        self.cfg = RunConfig.of(self.cfg)
        # Runs of one name and second would share their logger and message hub.
        second, serial = self._timestamp, itertools.count(1)
        while self._timestamp in self._timestamps:
            self._timestamp = f'{second}_{next(serial)}'
        self._timestamps.add(self._timestamp)

    def build_logger(self, *args: Any, **kwargs: Any) -> MMLogger:
        """Build a logger that leaves mmengine's dumps to the log file."""
        logger = super().build_logger(*args, **kwargs)
        keep_dumps_in_file(logger)
        config = self.cfg.filename or 'config without a file'
        logger.info(f'{config}, work directory {self.work_dir}, log in {self.log_dir}')
        return logger

    def set_randomness(
        self, seed: int | None = None, deterministic: bool = False, diff_rank_seed: bool = True
    ) -> None:
        """Seed the building of the model, whatever ``diff_rank_seed`` says."""
        # Called early in mmengine's constructor: what later methods need is set up here.  All
        # processes build the model with one seed; restore_random_state() adds the rank.
        self._randomness_cfg = dict(seed=seed, deterministic=deterministic)
        self._resumed_random_states: list[dict] | None = None
        self._has_weights = False
        self._writer = BackgroundWriter()
        super().set_randomness(seed, deterministic=deterministic)

    def wrap_model(self, model_wrapper_cfg: dict | None, model: nn.Module) -> nn.Module:
        """Place the model as the strategy says.

        Raises:
            ValueError: ``model_wrapper_cfg``, mmengine's way of saying how, is set.
        """
        if model_wrapper_cfg is not None:
            raise ValueError(
                'model_wrapper_cfg: the strategy says how a model is wrapped; set strategy=dict('
                "type='DDP', ...) with the arguments of the wrapper"
            )
        self.strategy = build_strategy(self.cfg.get('strategy'))
        self.logger.info(model_facts(model))
        self.logger.info(
            f'strategy {type(self.strategy).__name__}: {self.strategy.world_size} process(es), '
            f'{self.strategy.device}'
        )
        return self.strategy.wrap_model(model)

    def build_visualizer(self, visualizer: Visualizer | dict | None = None) -> Visualizer:
        """Build a visualiser with TensorBoard by default and ``vis_data/scalars.json`` always."""
        if isinstance(visualizer, Visualizer):
            return visualizer
        config = dict(visualizer or {})
        config.setdefault('type', 'Visualizer')
        backends = list(config.get('vis_backends') or [dict(type='TensorboardVisBackend')])
        if not any(backend['type'] == 'LocalVisBackend' for backend in backends):
            backends.insert(0, dict(type='LocalVisBackend'))
        return super().build_visualizer(dict(config, vis_backends=backends))

    @staticmethod
    def build_dataloader(
        dataloader: DataLoader | dict, seed: int | None = None, diff_rank_seed: bool = False
    ) -> DataLoader:
        """Build a loader whose workers leave signals to the main process."""
        if isinstance(dataloader, DataLoader):
            return dataloader
        config = dict(dataloader)
        if not config.get('num_workers'):  # torch refuses options of workers that are not there
            config = {name: value for name, value in config.items() if name not in WORKER_ONLY}
        config['pin_memory'] = config.get('pin_memory', False) and torch.cuda.is_available()
        collate = config.get('collate_fn')
        if isinstance(collate, Mapping) and isinstance(collate['type'], str):
            # mmengine looks this name up in its own registry only, not in ours.
            config['collate_fn'] = dict(collate, type=FUNCTIONS.get(collate['type']))
        config = _with_batch_sampler(config, seed)
        loader = MMEngineRunner.build_dataloader(config, seed, diff_rank_seed)
        loader.worker_init_fn = partial(_init_worker, inner=loader.worker_init_fn)
        return loader

    def build_evaluator(self, evaluator: Evaluator | dict | list) -> Evaluator:
        """Build the evaluator, whose metrics write their files in the work directory."""
        built = super().build_evaluator(evaluator)
        for metric in built.metrics:
            if getattr(metric, 'output_dir', '') is None:
                metric.output_dir = self.work_dir
        return built

    def build_train_loop(self, loop: BaseLoop | dict) -> BaseLoop:
        """Build the epoch loop, unless the config names another.

        Raises:
            ValueError: ``by_epoch=False``, or a loop that cannot say and restore its progress.
        """
        if isinstance(loop, BaseLoop):
            return loop
        config = dict(loop)
        if not config.pop('by_epoch', True):
            raise ValueError('train_cfg: training is counted in epochs; set max_epochs')
        config.setdefault('type', 'TrainLoop')
        _check_train_loop(config['type'])
        built = super().build_train_loop(config)
        dataset = built.dataloader.dataset
        if getattr(dataset, 'bad_samples_file', '') is None:
            dataset.bad_samples_file = Path(self.work_dir) / BAD_SAMPLES
        self.logger.info(f'training: {loader_facts(built.dataloader)}')
        return built

    def build_val_loop(self, loop: BaseLoop | dict) -> BaseLoop:
        """Build the validation loop of this project, unless the config names another."""
        if isinstance(loop, BaseLoop):
            return loop
        built = super().build_val_loop(_with_type(loop, 'ValLoop'))
        self.logger.info(f'validation: {loader_facts(built.dataloader)}')
        return built

    def build_test_loop(self, loop: BaseLoop | dict) -> BaseLoop:
        """Build the test loop of this project, unless the config names another."""
        if isinstance(loop, BaseLoop):
            return loop
        built = super().build_test_loop(_with_type(loop, 'TestLoop'))
        self.logger.info(f'test: {loader_facts(built.dataloader)}')
        return built

    def build_optim_wrapper(self, optim_wrapper: OptimWrapper | dict) -> OptimWrapper:
        """Build the optimiser and join it with the model as the strategy needs it.

        Raises:
            ValueError: several optimisers.
        """
        if isinstance(optim_wrapper, OptimWrapper):
            return optim_wrapper
        built = super().build_optim_wrapper(optim_wrapper)
        if isinstance(built, OptimWrapperDict):
            raise ValueError(
                f'optim_wrapper builds {len(built.optim_wrappers)} optimisers '
                f'({", ".join(built.optim_wrappers)}), but checkpoints and resuming know one: use '
                'one, with a parameter group for each part (a constructor can make them)'
            )
        # While the model is whole, since the strategy may shard it: mmengine loads weights after
        # the optimiser is built.
        self._init_model_weights()
        if self.resume_path is None:
            self.load_or_resume()
        self.model, built = self.strategy.prepare_training(self.model, built)
        return built

    def _build_param_scheduler(self, scheduler: Any, optim_wrapper: OptimWrapper) -> list:
        configs = scheduler if isinstance(scheduler, list | tuple) else [scheduler]
        built = []
        for config in configs:
            if _takes_horizon(config):
                arguments = dict(optimizer=optim_wrapper, horizon=self.horizon)
                built.append(PARAM_SCHEDULERS.build(dict(config), default_args=arguments))
            else:
                built += super()._build_param_scheduler(config, optim_wrapper)
        return built

    def register_default_hooks(self, hooks: dict | None = None) -> None:
        """Register mmengine's default hooks and ``interrupt``, unless that is None."""
        hooks = dict(interrupt=dict(type='InterruptHook')) | dict(hooks or {})
        if hooks['interrupt'] is None:
            del hooks['interrupt']
        super().register_default_hooks(hooks)

    # --- facts ----------------------------------------------------------------------------------

    @property
    def is_training(self) -> bool:
        """Whether this runner trains (rather than only validates or tests)."""
        return isinstance(self._train_loop, BaseLoop)

    @property
    def accumulative_counts(self) -> int:
        """Batches per optimiser step."""
        if isinstance(self.optim_wrapper, Mapping):
            return self.optim_wrapper.get('accumulative_counts', 1)
        return self.optim_wrapper._accumulative_counts

    @property
    def horizon(self) -> Horizon:
        """Length of this run in optimiser steps."""
        loop, counts = self.train_loop, self.accumulative_counts
        return Horizon(loop.iters_per_epoch // counts, loop.max_epochs, counts)

    def seed_for(self, epoch: int) -> int:
        """Seed of what is drawn beside training in ``epoch`` on this process."""
        return derived_seed(self.seed, epoch, self.strategy.rank)

    # --- running --------------------------------------------------------------------------------

    def train(self) -> nn.Module:
        """Train to the end and return the model."""
        if not self.is_training:  # still a config: train() was not called before
            self._scale_learning_rates()
        try:
            model = super().train()
        except BaseException as error:
            self._finish_quietly()
            if not isinstance(error, Interrupted):  # that one ends the process: it stays shielded
                self.call_hook('release_process')
            raise
        self.finish_saving()
        return model

    def _finish_quietly(self) -> None:
        """Finish the checkpoint that is being written while another error is on its way."""
        try:
            self._writer.finish()
        except CheckpointError as error:
            self._warn(str(error))

    def _scale_learning_rates(self) -> None:
        rule = self.cfg.get('lr_scaling')
        if not rule or not isinstance(self.optim_wrapper, Mapping):
            return
        sizes = counted_sizes(
            rule, self._train_dataloader, get_world_size(), self.accumulative_counts
        )
        base = rule.get('base_batch_size', 256)
        schedules = self.param_schedulers or []
        schedules = [schedules] if isinstance(schedules, Mapping) else schedules
        scale_rates(self.optim_wrapper, schedules, lr_factor(*sizes, base_batch_size=base))
        self.logger.info(
            f'learning rates are multiplied by {lr_factor(*sizes, base_batch_size=base):g} = '
            'batch {} x processes {} x repeats {} x accumulation {}'.format(*sizes)
            + f' / {base}'
        )

    def load_initial_weights(self) -> None:
        """Load the files that ``init_cfg`` names, as training would."""
        self._init_model_weights()

    def _init_model_weights(self) -> None:
        if self.resume_path is None and not self._has_weights:  # else a checkpoint brings them
            super()._init_model_weights()
        self._has_weights = True

    def _maybe_compile(self, target: str) -> None:
        options = self.cfg.get('compile') or None
        if options is None:
            return
        model = self.strategy.unwrap(self.model)
        part = model.video_encoder if isinstance(model, VideoModel) else model
        # In place: torch.compile() would wrap the encoder, and checkpoints would have other names.
        part.compile(**({} if options is True else options))
        self.logger.info(f'{type(part).__name__} is compiled: the first steps are slow')

    # --- loading --------------------------------------------------------------------------------

    @cached_property
    def resume_path(self) -> Path | None:
        """Checkpoint that training resumes from, chosen on rank 0 for all."""
        if not self._resume or not self.is_training:
            return None
        if isinstance(self._resume, str | Path) and self._resume != 'auto':
            return Path(self._resume)
        # Chosen by one process: others may see an older state of a shared disk.
        found = [find_resumable(self.work_dir, self._warn) if is_main_process() else None]
        broadcast_object_list(found)
        if found[0] is None:
            self.logger.info(f'nothing to resume in {self.work_dir}: training starts afresh')
        return found[0]

    def _warn(self, message: str) -> None:
        self.logger.warning(message)

    def load_or_resume(self) -> None:
        """Resume if asked and possible, else load ``load_from`` if given."""
        if self._has_loaded:
            return
        if self.resume_path is not None:
            self.resume(self.resume_path)
        elif self._load_from is not None:
            self.load_checkpoint(self._load_from)
        self._has_loaded = True

    def load_checkpoint(self, filename: str | Path, *_: Any, **options: Any) -> dict:
        """Load weights onto the CPU first, and strictly unless ``strict=False``.

        Published files load too, as ``model.init_cfg`` says.

        Raises:
            CheckpointMismatchError, ValueError, FileNotFoundError: see
                :func:`internvideo.checkpoint.load_checkpoint`.
        """
        from internvideo.checkpoint import load_checkpoint

        strict, trusted = options.get('strict', True), self.cfg.get('trusted_pickle', False)
        model = self.strategy.unwrap(self.model)
        load_checkpoint(model, filename, strict=strict, trusted_pickle=trusted)
        return {}

    def resume(self, filename: str | Path, *_: Any, **__: Any) -> None:
        """Continue the run that wrote ``filename``, for as long as the config says.

        Raises:
            CheckpointError: the file is unusable or of another model or optimiser.
        """
        checkpoint = read_training_state(filename)
        weights = checkpoint.get('train_state_dict', checkpoint['state_dict'])
        self.strategy.load_model_state(self.model, weights, str(filename))
        self.call_hook('after_load_checkpoint', checkpoint=checkpoint)
        # Before the loop skips what was seen: the order of the data depends on the seed.
        self._adopt_seed(checkpoint['meta']['seed'])
        self._compare_frames(checkpoint['meta'].get('frame_sampling'), filename)
        self.train_loop.restore(checkpoint['meta']['progress'])
        unpack_messages(self.message_hub, checkpoint['message_hub'])
        self._load_optimizer(checkpoint['optimizer'], filename)
        self._load_schedules(checkpoint['param_schedulers'])
        # Set when training starts: building the loaders and hooks may still draw numbers.
        self._resumed_random_states = checkpoint['random_states']
        self._has_loaded = True
        self.logger.info(
            f'resumed from {filename}: epoch {self.epoch}, batch {self.train_loop.batches_done} '
            f'of {self.train_loop.iters_per_epoch}'
        )

    def _load_optimizer(self, state: dict, filename: str | Path) -> None:
        try:
            self.strategy.load_optimizer_state(self.model, self.optim_wrapper, state)
        except (ValueError, KeyError) as error:
            raise CheckpointError(
                f'the optimiser state of {filename} does not fit: {error}'
            ) from error

    def _load_schedules(self, states: list[dict]) -> None:
        schedules = self.param_schedulers or []
        for index, schedule in enumerate(schedules):
            if hasattr(schedule, 'seek'):
                schedule.seek(self.iter)
            elif index < len(states):
                # The position only: begin, end and the like are those of this run's config.
                position = {
                    name: value
                    for name, value in states[index].items()
                    if name in ('last_step', '_global_step', '_last_value')
                }
                schedule.load_state_dict(position)

    def _adopt_seed(self, seed: int) -> None:
        if seed == self.seed:
            return
        if self._randomness_cfg['seed'] is not None:
            self._warn(f'the seed changes from {seed} (checkpoint) to {self.seed} (config)')
            return
        self._seed = seed
        loader = self.train_dataloader
        for part in (loader.sampler, loader.batch_sampler, loader.dataset):
            if hasattr(part, 'set_seed'):
                part.set_seed(seed)
            elif hasattr(part, 'seed'):
                part.seed = seed

    def restore_random_state(self) -> None:
        """Restore the random generators of the resumed run, or seed those of a new one."""
        states, rank = self._resumed_random_states, self.strategy.rank
        if states is None:
            seed_all(self.seed + rank)
        elif len(states) == self.strategy.world_size:
            set_random_state(states[rank])
        else:
            self.logger.info(
                f'{len(states)} processes wrote the checkpoint, {self.strategy.world_size} read '
                'it: random draws on the device start from new seeds'
            )
            seed_all(derived_seed(self.seed, self.iter, rank))

    # --- saving ---------------------------------------------------------------------------------

    def save_progress(self, keep: int = -1, wait: bool = False) -> Path:
        """Save all that a resumed run needs, on all processes together.

        Training goes on from a copy in memory while the file is written.

        Args:
            keep: Number of such checkpoints to keep, the newest; -1 for all.
            wait: Return when the file is whole and named by ``last_checkpoint``.

        Returns:
            The file.

        Raises:
            CheckpointError: the disk refused this checkpoint (with ``wait``) or the one before.
        """
        progress = self.train_loop.progress()
        iteration = progress['iter'] if progress['samples_into_epoch'] else None
        path = Path(self.work_dir) / checkpoint_name(progress['epoch'], iteration)
        others = self.message_hub.get_info('kept_checkpoints') or []
        kept = [*(name for name in others if name != path.name), path.name]
        dropped = kept[:-keep] if keep > 0 else []
        # Before the state is taken: a resumed run must know which files to drop later.
        self.message_hub.update_info('kept_checkpoints', kept[len(dropped) :])
        state = self._training_state(progress)
        self._write_shard(path)
        self._write_beside(state, path, [path.with_name(name) for name in dropped], True)
        if wait:
            self.finish_saving()
        return path

    def _write_shard(self, path: Path) -> None:
        """Write the optimiser shard of this process, if any, before ``path`` exists."""
        shard = self.strategy.optimizer_shard(self.model, self.optim_wrapper)
        if shard is not None:
            world_size = self.strategy.world_size
            write_checkpoint(as_plain(shard), shard_path(path, self.strategy.rank, world_size))
            barrier()  # the file that names a checkpoint appears when all shards are there

    def _write_beside(self, state: dict, path: Path, dropped: list[Path], resumable: bool) -> None:
        if not is_main_process():
            return
        # Training changes the tensors in place while the file is written.
        state = as_plain(state) if self.strategy.copies_state else plain_copy(state)

        def write() -> None:
            # In this order: if the process dies in between, a whole checkpoint is always named.
            write_checkpoint(state, path)
            if resumable:
                write_pointer(self.work_dir, path)
                self.logger.info(f'saved {path}')
            for other in dropped:
                remove_with_shards(other)

        self._writer.submit(write)

    def finish_saving(self) -> None:
        """Wait, on all processes, until the last checkpoint is on the disk.

        Raises:
            CheckpointError: the disk refused it.
        """
        self._writer.finish()
        barrier()  # nobody leaves, or is killed for another's leaving, while rank 0 writes

    def save_weights(
        self, path: Path, metrics: dict[str, float] | None = None, replaced: Path | None = None
    ) -> None:
        """Save the weights (the average, with EMA) and where they come from.

        Args:
            path: The file; it is written while training goes on.
            metrics: What was measured with these weights.
            replaced: A file to remove once ``path`` is whole.

        Raises:
            CheckpointError: the disk refused the checkpoint before this one.
        """
        checkpoint = dict(
            meta=self._meta(self.train_loop.progress(), metrics=metrics or {}),
            state_dict=self.strategy.model_state(self.model),
        )
        self.call_hook('before_save_checkpoint', checkpoint=checkpoint)
        checkpoint.pop('train_state_dict', None)  # tests need the average alone
        self._write_beside(checkpoint, path, [replaced] if replaced else [], False)

    def save_checkpoint(self, out_dir: str, filename: str, *_: Any, **__: Any) -> None:
        """Save all that a resumed run needs under a name of the caller's choice."""
        state = self._training_state(self.train_loop.progress())
        if is_main_process():
            write_checkpoint(as_plain(state), Path(out_dir) / filename)
        barrier()

    def _training_state(self, progress: dict) -> dict:
        checkpoint = dict(
            meta=self._meta(progress),
            state_dict=self.strategy.model_state(self.model),
            optimizer=self.strategy.optimizer_state(self.model, self.optim_wrapper),
            param_schedulers=[schedule.state_dict() for schedule in self.param_schedulers or []],
            message_hub=pack_messages(self.message_hub),
            random_states=gather_random_states(self.train_loop.held_random_state),
        )
        self.call_hook('before_save_checkpoint', checkpoint=checkpoint)
        return checkpoint

    @cached_property
    def _frame_sampling(self) -> FrameSampling | None:
        """Choice of the frames that whoever uses the weights shall make, None if it is open."""
        return FrameSampling.of_config(self.cfg)

    def _compare_frames(self, before: Any, filename: str | Path) -> None:
        """Warn if a run goes on with other frames than it began with."""
        own = self._frame_sampling
        if before is None or own is None or before == own.to_dict():
            return
        try:
            differing = FrameSampling.from_dict(before).differences(own)
        except ValueError as error:
            self._warn(f'{filename}: {error}')
            return
        if differing:
            self._warn(
                f'{filename} was trained with another choice of frames than the config has '
                f'({", ".join(sorted(differing))}); training goes on with that of the config'
            )

    def _meta(self, progress: dict, **more: Any) -> dict:
        return dict(
            progress=progress,
            epoch=progress['epoch'],
            iter=progress['iter'],
            seed=self.seed,
            world_size=self.strategy.world_size,
            cfg=self.cfg.pretty_text,
            experiment_name=self.experiment_name,
            time=time.strftime('%Y-%m-%d %H:%M:%S'),
            versions=dict(internvideo=internvideo.__version__, torch=str(torch.__version__)),
            dataset_meta=dataset_metainfo(self.train_dataloader.dataset),
            frame_sampling=self._frame_sampling and self._frame_sampling.to_dict(),
            **more,
        )


def build_strategy(config: Strategy | Mapping | str | None) -> Strategy:
    """Build the strategy of ``config``, or for ``auto`` (or None) one that fits the machine."""
    if isinstance(config, Strategy):
        return config
    config = dict(type=config) if isinstance(config, str) else dict(config or {})
    if config.get('type', 'auto') == 'auto':
        config = automatic_strategy(config.get('zero'), config.get('ddp'))
    return STRATEGIES.build(config)


def automatic_strategy(zero: Mapping | None = None, ddp: Mapping | None = None) -> dict:
    """Choose the strategy by the number of processes and what is installed.

    Args:
        zero: Arguments of DeepSpeed, for several GPUs where DeepSpeed is installed.
        ddp: Arguments of DistributedDataParallel, for all other cases of several processes.
    """
    if get_world_size() == 1:
        return dict(type='SingleDevice')
    if zero and torch.cuda.is_available() and find_spec('deepspeed'):
        return dict(zero, type='DeepSpeed')
    return dict(ddp or {}, type='DDP')


def _init_worker(worker_id: int, inner: Any = None) -> None:
    shield_worker()
    if inner is not None:  # mmengine's, which seeds the worker
        inner(worker_id)


def _with_batch_sampler(config: dict, seed: int | None) -> dict:
    """Build the batch sampler in a loader's config, if that orders the data set."""
    sampler = config.get('batch_sampler')
    if config.get('sampler') is not None or not isinstance(sampler, Mapping):
        return config
    dataset = config['dataset']
    dataset = DATASETS.build(dataset) if isinstance(dataset, Mapping) else dataset
    built = DATA_SAMPLERS.build(dict(sampler), default_args=dict(dataset=dataset, seed=seed))
    # mmengine copies a config before it builds it; a function is not copied, a long list would be.
    made = dict(dataset=dict(type=lambda: dataset), sampler=None, batch_sampler=built)
    # A config that inherits a batch size can only set it to None; torch refuses even that.
    kept = {name: value for name, value in config.items() if (name, value) != ('batch_size', None)}
    return kept | made


def _check_train_loop(kind: Any) -> None:
    """Raise ValueError for a loop that checkpoints and resuming cannot ask, as mmengine's own."""
    # A project's loop may derive from anything, if it has these two.
    found = LOOPS.get(kind) if isinstance(kind, str) else kind
    lacks = [name for name in ('progress', 'restore') if not hasattr(found, name)]
    if found is not None and lacks:
        raise ValueError(
            f'train_cfg.type={found.__name__} has no {" and no ".join(lacks)}, which checkpoints '
            'and resuming need: use TrainLoop, or derive yours from it'
        )


def _with_type(loop: Any, name: str) -> Any:
    return dict(loop, type=loop.get('type', name)) if isinstance(loop, Mapping) else loop


def _takes_horizon(config: Any) -> bool:
    if not isinstance(config, Mapping):
        return False
    return getattr(PARAM_SCHEDULERS.get(config['type']), 'takes_horizon', False)
