# Eight frames spread over a whole video, 224 px: the published Kinetics-style protocol.
# A data set sets its paths and class count; a leaf the number of frames (`sampling`).
probe_pipeline = [
    dict(type='RandAugment', policy='rand-m5-n2-mstd0.25-inc1'),
    dict(type='RandomResizedCrop', size=224, scale=(0.08, 1.0), ratio=(0.75, 1.3333)),
    dict(type='RandomFlip', prob=0.5),
    dict(type='PackInputs'),
]
train_dataloader = dict(
    batch_size=32,
    num_workers=12,
    persistent_workers=True,
    pin_memory=True,
    sampler=dict(type='EpochSampler', shuffle=True),
    collate_fn=dict(type='collate_clips'),
    dataset=dict(
        type='VideoDataset',
        backend='auto',
        sampling=dict(type='UniformSample', num_frames=8, mode='train'),
        num_repeats=2,
        pipeline=[
            dict(type='RandAugment', policy='rand-m7-n4-mstd0.5-inc1'),
            dict(type='RandomResizedCrop', size=224, scale=(0.08, 1.0), ratio=(0.75, 1.3333)),
            dict(type='RandomFlip', prob=0.5),
            dict(type='PackInputs'),
        ],
    ),
)
val_dataloader = dict(
    batch_size=48,
    num_workers=12,
    persistent_workers=True,
    pin_memory=True,
    sampler=dict(type='EvalSampler'),
    collate_fn=dict(type='collate_clips'),
    dataset=dict(
        type='VideoDataset',
        backend='auto',
        test_mode=True,
        sampling=dict(type='UniformSample', num_frames=8, mode='val'),
        pipeline=[
            dict(type='Resize', short_side=224),
            dict(type='CenterCrop', size=224),
            dict(type='PackInputs'),
        ],
    ),
)
test_dataloader = dict(
    batch_size=1,
    num_workers=12,
    persistent_workers=True,
    pin_memory=True,
    sampler=dict(type='EvalSampler'),
    collate_fn=dict(type='collate_clips'),
    dataset=dict(
        type='VideoDataset',
        backend='auto',
        test_mode=True,
        sampling=dict(type='UniformSample', num_frames=8, num_views=4, mode='test'),
        pipeline=[
            dict(type='Resize', short_side=224),
            dict(type='UniformCrops', size=224, num_crops=3),
            dict(type='PackInputs'),
        ],
    ),
)
val_evaluator = dict(type='AccuracyMetric', topk=(1, 5))
test_evaluator = dict(type='AccuracyMetric', topk=(1, 5))
