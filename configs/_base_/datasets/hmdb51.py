# Folders of frames, one frame from each segment; two views of one crop, as in linear probing.
_base_ = './sparse_video.py'

data_root = '{{$INTERNVIDEO2_DATA_PATH:data}}/hmdb51'
files = dict(
    data_prefix=data_root,
    columns=('path', 'total_frames', 'label'),
    delimiter=' ',
    num_classes=51,
    backend='frames',
    filename_tmpl='img_{:05}.jpg',
)
segments = dict(type='SegmentSample', num_frames=16, media='frames', leave_out=1)
train_dataloader = dict(dataset=dict(ann_file=f'{data_root}/train.csv', sampling=segments, **files))
val_dataloader = dict(dataset=dict(ann_file=f'{data_root}/val.csv', sampling=segments, **files))
test_dataloader = dict(
    dataset=dict(
        ann_file=f'{data_root}/test.csv',
        sampling=dict(num_views=2, **segments),
        pipeline=[
            dict(type='Resize', short_side=224),
            dict(type='UniformCrops', size=224, num_crops=1),
            dict(type='PackInputs'),
        ],
        **files,
    )
)
del files, segments
