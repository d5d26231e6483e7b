# Dense clips, every fourth frame; two views of one crop, as in linear probing.
_base_ = './sparse_video.py'

data_root = '{{$INTERNVIDEO2_DATA_PATH:data}}/ucf101'
files = dict(data_prefix=data_root, delimiter=' ', num_classes=101)
dense = dict(type='DenseSample', num_frames=16, stride=4)
train_dataloader = dict(dataset=dict(ann_file=f'{data_root}/train.csv', sampling=dense, **files))
val_dataloader = dict(dataset=dict(ann_file=f'{data_root}/val.csv', sampling=dense, **files))
test_dataloader = dict(
    dataset=dict(
        ann_file=f'{data_root}/test.csv',
        sampling=dict(num_views=2, **dense),
        pipeline=[
            dict(type='Resize', short_side=224),
            dict(type='UniformCrops', size=224, num_crops=1),
            dict(type='PackInputs'),
        ],
        **files,
    )
)
del files, dense
