_base_ = './6B_mit.py'

recipe = (
    'internvideo2_single_modality/finetuning/full_tuning/mit/'
    '6B_ft_k710_ft_k400_ft_mit_f8_res224to336'
)
checkpoint = '{{$INTERNVIDEO2_MODEL_PATH:checkpoints}}/6B_ft_k710_ft_k400_ft_mit_f8.pth'
model = dict(
    backbone=dict(img_size=336, drop_path_rate=0.4, checkpoint_num=40),
    init_cfg=dict(checkpoint=checkpoint, head='keep'),
)
pack = dict(type='PackInputs')
train_dataloader = dict(
    dataset=dict(
        pipeline=[
            dict(type='RandAugment', policy='rand-m7-n4-mstd0.5-inc1'),
            dict(type='RandomResizedCrop', size=336, scale=(0.08, 1.0), ratio=(0.75, 1.3333)),
            dict(type='RandomFlip', prob=0.5),
            pack,
        ]
    )
)
val_dataloader = dict(
    dataset=dict(
        pipeline=[dict(type='Resize', short_side=336), dict(type='CenterCrop', size=336), pack]
    )
)
test_dataloader = dict(
    dataset=dict(
        pipeline=[
            dict(type='Resize', short_side=336),
            dict(type='UniformCrops', size=336, num_crops=3),
            pack,
        ]
    )
)
optim_wrapper = dict(optimizer=dict(lr=1e-5, weight_decay=0.1))
param_scheduler = dict(warmup_epochs=0)
train_cfg = dict(max_epochs=2)
