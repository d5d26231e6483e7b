# Folders of frames numbered from 1.  Never mirrored: labels tell left from right.  Two augmentations of
# each decode in training, one clip with three crops in testing; validation and test share a list.
_base_ = './uniformerv2_sparse_video.py'

data_root = '{{$INTERNVIDEO2_DATA_PATH:data}}/ssv2_frame'
files = dict(
    data_prefix=data_root,
    columns=('path', 'total_frames', 'label'),
    delimiter=' ',
    num_classes=174,
    backend='frames',
    filename_tmpl='img_{:05d}.jpg',
)
train_dataloader = dict(
    dataset=dict(
        ann_file=f'{data_root}/somesomev2_rgb_train_split.txt',
        num_repeats=2,
        pipeline=[
            dict(type='RandAugment', policy='rand-m7-n4-mstd0.5-inc1'),
            dict(type='RandomResizedCrop', size=224, scale=(0.08, 1.0), ratio=(0.75, 1.3333)),
            dict(type='PackInputs'),
        ],
        **files,
    )
)
files['ann_file'] = f'{data_root}/somesomev2_rgb_validation_split.txt'
val_dataloader = dict(batch_size=32, dataset=files)
test_dataloader = dict(dataset=dict(sampling=dict(num_views=1), **files))
del files
