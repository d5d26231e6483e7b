# Sparse frames as UniFormerV2 reads them: no repeated augmentation, middle crops rounded up.
# A data set sets its paths and class count; a leaf frames, batch and, for 336 px, `r336`.
_base_ = './sparse_video.py'

pack = dict(type='PackInputs')
augment = dict(type='RandAugment', policy='rand-m7-n4-mstd0.5-inc1')
crop = dict(type='RandomResizedCrop', size=224, scale=(0.08, 1.0), ratio=(0.75, 1.3333))
flip = dict(type='RandomFlip', prob=0.5)
evaluation = dict(
    pipeline=[
        dict(type='Resize', short_side=224),
        dict(type='UniformCrops', size=224, num_crops=1, round_up=True),
        pack,
    ]
)
views = dict(
    pipeline=[
        dict(type='Resize', short_side=224),
        dict(type='UniformCrops', size=224, num_crops=3, round_up=True),
        pack,
    ]
)
r336 = dict(
    train=[augment, dict(crop, size=336), flip, pack],
    single=[
        dict(type='Resize', short_side=336),
        dict(type='UniformCrops', size=336, num_crops=1, round_up=True),
        pack,
    ],
    crops=[
        dict(type='Resize', short_side=336),
        dict(type='UniformCrops', size=336, num_crops=3, round_up=True),
        pack,
    ],
)
train_dataloader = dict(
    num_workers=8,
    dataset=dict(num_repeats=1, pipeline=[augment, crop, flip, pack]),
)
val_dataloader = dict(batch_size=16, num_workers=8, dataset=evaluation)
test_dataloader = dict(num_workers=8, dataset=views)
del pack, augment, crop, flip, evaluation, views
