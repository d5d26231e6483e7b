# The unlabelled mixture of VideoMAE pretraining, every row once an epoch.  Its published list is one
# file; here each data set has its own, with its step between frames and its names of images.
data_root = '{{$INTERNVIDEO2_DATA_PATH:data}}'
clips = dict(type='PretrainSample', num_frames=16, stride=4, num_segments=1)
rows = dict(
    type='VideoDataset',
    columns=('path', 'start_index', 'total_frames', 'label'),
    delimiter=' ',
    backend='frames',
    pipeline=[
        dict(type='MultiScaleCrop', size=224, scales=(1, 0.875, 0.75, 0.66)),
        dict(type='PackInputs'),
    ],
)
train_dataloader = dict(
    batch_size=64,
    num_workers=8,
    persistent_workers=True,
    pin_memory=True,
    sampler=dict(type='EpochSampler', shuffle=True),
    collate_fn=dict(type='collate_clips'),
    dataset=dict(
        type='Mixture',
        datasets=dict(
            k710=dict(
                ann_file=f'{data_root}/hybrid_1m/k710.csv',
                data_prefix=f'{data_root}/k710',
                sampling=clips,
                **rows,
            ),
            ssv2=dict(
                ann_file=f'{data_root}/hybrid_1m/ssv2.csv',
                data_prefix=f'{data_root}/ssv2_frame',
                filename_tmpl='img_{:05}.jpg',
                sampling=dict(clips, stride=2),
                **rows,
            ),
            ava=dict(
                ann_file=f'{data_root}/hybrid_1m/ava.csv',
                data_prefix=f'{data_root}/ava_frame',
                filename_tmpl='image_{:06}.jpg',
                sampling=clips,
                **rows,
            ),
            webvid=dict(
                ann_file=f'{data_root}/hybrid_1m/webvid.csv',
                data_prefix=f'{data_root}/webvid',
                sampling=clips,
                **rows,
            ),
        ),
    ),
)
del clips, rows
