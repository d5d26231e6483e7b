# The generated world (tools/data/make_synthetic.py): eight motions, held-out looks in val and test.
# Labels say left and right and must not depend on colour: no flip, colours shuffled.
_base_ = './sparse_video.py'

data_root = '{{$INTERNVIDEO2_DATA_PATH:data}}/synthetic/recognition'
files = dict(data_prefix=data_root, delimiter=',', classes=f'{data_root}/classes.txt')
loader = dict(num_workers=2, pin_memory=False)
train_dataloader = dict(
    batch_size=16,
    dataset=dict(
        ann_file=f'{data_root}/train.csv',
        num_repeats=2,
        pipeline=[
            dict(type='RandomResizedCrop', size=32, scale=(0.4, 1.0), ratio=(0.8, 1.25)),
            dict(type='ShuffleChannels'),
            dict(type='RandomBrightness', scale=(0.7, 1.3), shift=(-20, 20)),
            dict(type='PackInputs'),
        ],
        **files,
    ),
    **loader,
)
held_out = [dict(type='Resize', size=32), dict(type='PackInputs')]
val_dataloader = dict(
    batch_size=40,
    dataset=dict(ann_file=f'{data_root}/val.csv', pipeline=held_out, **files),
    **loader,
)
test_dataloader = dict(
    batch_size=40,
    dataset=dict(
        ann_file=f'{data_root}/test.csv',
        sampling=dict(num_views=2),
        pipeline=held_out,
        **files,
    ),
    **loader,
)
del files, loader, held_out
