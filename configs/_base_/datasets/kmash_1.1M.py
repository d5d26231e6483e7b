# Unlabelled videos of masked pretraining and distillation, one list of many data sets.  A line is
#     source path duration start end label
# separated by blanks, times in seconds, -1 for a whole video; the label is not used.  One frame from
# each of equal stretches, multi-scale crops, flips except of Something-Something.
data_root = '{{$INTERNVIDEO2_DATA_PATH:data}}'
train_dataloader = dict(
    batch_size=32,
    num_workers=12,
    persistent_workers=True,
    pin_memory=True,
    sampler=dict(type='EpochSampler', shuffle=True),
    collate_fn=dict(type='collate_clips'),
    dataset=dict(
        type='VideoDataset',
        ann_file=f'{data_root}/kmash/train_1.1M.csv',
        columns=('source', 'path', 'duration', 'start', 'end', 'label'),
        delimiter=' ',
        backend='auto',
        path_suffix='.mp4',
        # A source that is kept as folders of frames: dict(backend='frames', data_prefix=...).
        sources=dict(
            k400=dict(data_prefix=f'{data_root}/k400'),
            k600=dict(data_prefix=f'{data_root}/k600'),
            k700=dict(data_prefix=f'{data_root}/k700'),
            mit=dict(data_prefix=f'{data_root}/mit'),
            ssv2=dict(data_prefix=f'{data_root}/ssv2'),
            anet=dict(data_prefix=f'{data_root}/anet'),
            hacs=dict(data_prefix=f'{data_root}/hacs'),
        ),
        sampling=dict(type='PretrainSample', num_frames=16),
        pipeline=[
            dict(type='MultiScaleCrop', size=224, scales=(1, 0.875, 0.75, 0.66)),
            dict(type='RandomFlip', prob=0.5, skip_sources=('ssv2',)),
            dict(type='PackInputs'),
        ],
    ),
)
