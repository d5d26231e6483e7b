# Unlabelled videos of masked pretraining and distillation: one frame from each of equal stretches,
# multi-scale crops, flips.  The list has Kinetics style (path and a label that is not used).
data_root = '{{$INTERNVIDEO2_DATA_PATH:data}}/kmash'
train_dataloader = dict(
    batch_size=32,
    num_workers=12,
    persistent_workers=True,
    pin_memory=True,
    sampler=dict(type='EpochSampler', shuffle=True),
    collate_fn=dict(type='collate_clips'),
    dataset=dict(
        type='VideoDataset',
        ann_file=f'{data_root}/train_1.1M.csv',
        data_prefix=data_root,
        delimiter=' ',
        path_suffix='.mp4',
        backend='decord',
        sampling=dict(type='SegmentSample', num_frames=16, mode='train'),
        pipeline=[
            dict(type='MultiScaleCrop', size=224, scales=(1, 0.875, 0.75, 0.66)),
            dict(type='RandomFlip', prob=0.5),
            dict(type='PackInputs'),
        ],
    ),
)
