# Sixteen frames, four apart, for masked autoencoders.  A line of the list is
#     path start_index total_frames label
# where start_index is the number of the first image of a folder, total_frames -1 stands for a video
# file, and the label is not used.  Never mirrored, as published.
data_root = '{{$INTERNVIDEO2_DATA_PATH:data}}'
train_dataloader = dict(
    batch_size=64,
    num_workers=8,
    persistent_workers=True,
    pin_memory=True,
    sampler=dict(type='EpochSampler', shuffle=True),
    collate_fn=dict(type='collate_clips'),
    dataset=dict(
        type='VideoDataset',
        ann_file=f'{data_root}/k400/pretrain.csv',
        data_prefix=f'{data_root}/k400',
        columns=('path', 'start_index', 'total_frames', 'label'),
        delimiter=' ',
        backend='frames',
        filename_tmpl='img_{:05}.jpg',
        sampling=dict(type='PretrainSample', num_frames=16, stride=4, num_segments=1),
        pipeline=[
            dict(type='MultiScaleCrop', size=224, scales=(1, 0.875, 0.75, 0.66)),
            dict(type='PackInputs'),
        ],
    ),
)
