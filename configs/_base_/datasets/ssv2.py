# Folders of frames, one frame from each segment.  Never mirrored: labels tell left from right.
_base_ = './sparse_video.py'

data_root = '{{$INTERNVIDEO2_DATA_PATH:data}}/ssv2_frame'
files = dict(
    data_prefix=data_root,
    columns=('path', 'total_frames', 'label'),
    delimiter=' ',
    num_classes=174,
    backend='frames',
    filename_tmpl='img_{:05}.jpg',
)
segments = dict(type='SegmentSample', media='frames')
probe_pipeline = [
    dict(type='RandAugment', policy='rand-m5-n2-mstd0.25-inc1'),
    dict(type='RandomResizedCrop', size=224, scale=(0.08, 1.0), ratio=(0.75, 1.3333)),
    dict(type='PackInputs'),
]
train_dataloader = dict(
    dataset=dict(
        ann_file=f'{data_root}/train.csv',
        sampling=segments,
        pipeline=[
            dict(type='RandAugment', policy='rand-m7-n4-mstd0.5-inc1'),
            dict(type='RandomResizedCrop', size=224, scale=(0.08, 1.0), ratio=(0.75, 1.3333)),
            dict(type='PackInputs'),
        ],
        **files,
    )
)
val_dataloader = dict(dataset=dict(ann_file=f'{data_root}/val.csv', sampling=segments, **files))
test_dataloader = dict(
    dataset=dict(ann_file=f'{data_root}/test.csv', sampling=dict(num_views=2, **segments), **files)
)
del files, segments
