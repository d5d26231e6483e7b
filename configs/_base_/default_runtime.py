default_scope = 'internvideo'
checkpoint_root = '{{$INTERNVIDEO2_MODEL_PATH:checkpoints}}'

default_hooks = dict(
    runtime_info=dict(type='RuntimeInfoHook'),
    timer=dict(type='IterTimerHook'),
    logger=dict(type='LoggerHook', interval=10),
    param_scheduler=dict(type='ParamSchedulerHook'),
    checkpoint=dict(type='CheckpointHook', interval=1, max_keep_ckpts=2, save_best='acc/top1'),
    loader_watch=dict(type='LoaderWatchHook', patience=60),
    batch_norm=dict(type='BatchNormHook'),
    class_count=dict(type='ClassCountHook'),
    unused_parameters=dict(type='UnusedParametersHook'),
    heartbeat=dict(type='HeartbeatHook', interval=5, patience=300),
)
log_processor = dict(type='LogProcessor', window_size=10, by_epoch=True)
visualizer = dict(type='Visualizer', vis_backends=[dict(type='TensorboardVisBackend')])

randomness = dict(seed=0, diff_rank_seed=True)
env_cfg = dict(
    cudnn_benchmark=False,
    mp_cfg=dict(mp_start_method='fork', opencv_num_threads=0),
    dist_cfg=dict(timeout=1800),  # seconds until a collective that never completes is an error
)
log_level = 'INFO'
load_from = None
resume = False
