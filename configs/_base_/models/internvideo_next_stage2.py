# Second stage of InternVideo-Next: latents of the frozen first stage at hidden places.  Clips of 32
# frames on a table of 16, which is resized in each step.
model = dict(
    type='InternVideoNextStage2',
    data_preprocessor=dict(
        type='ClipDataPreprocessor', mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375]
    ),
    backbone=dict(type='InternVideoNext', arch='base', num_frames=16, drop_path_rate=0.1),
    predictor=dict(type='ModernBertLayers'),
    maskers=[
        dict(type='BlockMask', num_blocks=8, spatial_scale=(0.15, 0.15), max_keep=1600),
        dict(type='BlockMask', num_blocks=2, spatial_scale=(0.7, 0.7), max_keep=1600),
    ],
    momentum=1.0,
    published_quirks=True,
    init_cfg=dict(
        type='Published',
        adapter='internvideo_next',
        checkpoint='{{$INTERNVIDEO2_MODEL_PATH:checkpoints}}/internvideo_next_stage1_base.pth',
    ),
)
