# Questions about scenes of the generated world, five a video, about colour, shape, motion, texture
# and background.  Held-out videos show combinations of motion, shape and colour that training never
# has.
#   python tools/data/make_synthetic.py data/synthetic_scenes --tasks captions qa sounds \
#       --num-train 2400 --num-val 50 --num-test 50
_base_ = './qa.py'

root = '{{$INTERNVIDEO2_DATA_PATH:data}}/synthetic_scenes/scenes'
train_dataloader = dict(
    batch_size=32,
    num_workers=1,
    pin_memory=False,
    dataset=dict(
        ann_file=f'{root}/qa/train.json',
        data_prefix=root,
        questions_per_clip=5,
        sampling=dict(num_frames=8),
        pipeline=[
            dict(type='RandomResizedCrop', size=64, scale=(0.7, 1.0), ratio=(1.0, 1.0)),
            dict(type='PackMedia'),
        ],
    ),
)
loader = dict(batch_size=100, num_workers=1, pin_memory=False)
held_out = dict(
    data_prefix=root,
    answers=f'{root}/qa/train.json',
    sampling=dict(num_frames=8),
    pipeline=[
        dict(type='ResizeSquare', size=64, interpolation='bilinear'),
        dict(type='PackMedia'),
    ],
)
val_dataloader = dict(dataset=dict(ann_file=f'{root}/qa/val.json', **held_out), **loader)
test_dataloader = dict(dataset=dict(ann_file=f'{root}/qa/test.json', **held_out), **loader)
del root, loader, held_out
