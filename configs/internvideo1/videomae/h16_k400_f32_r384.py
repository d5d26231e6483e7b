# The largest published classifier: 32 frames of 384 px, on from 16 frames of 224 px.
_base_ = './h16_k710_k400.py'
recipe = None  # no script of it is published

model = dict(backbone=dict(num_frames=32, img_size=384, checkpoint_num=32), max_views_per_forward=3)
pack, longer = dict(type='PackInputs'), dict(num_frames=32)
train_dataloader = dict(
    dataset=dict(
        sampling=longer,
        pipeline=[
            dict(type='RandAugment', policy='rand-m7-n4-mstd0.5-inc1'),
            dict(type='RandomResizedCrop', size=384, scale=(0.08, 1.0), ratio=(0.75, 1.3333)),
            dict(type='RandomFlip', prob=0.5),
            pack,
        ],
    )
)
val_dataloader = dict(
    batch_size=2,
    dataset=dict(
        sampling=longer,
        pipeline=[dict(type='Resize', short_side=384), dict(type='CenterCrop', size=384), pack],
    ),
)
test_dataloader = dict(
    dataset=dict(
        sampling=longer,
        pipeline=[
            dict(type='Resize', short_side=384),
            dict(type='UniformCrops', size=384, num_crops=3),
            pack,
        ],
    )
)
del pack, longer
