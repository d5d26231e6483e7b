# Distillation of a smaller student from the 1B model of stage 2.
model = dict(
    type='MaskedAlignment',
    data_preprocessor=dict(
        type='ClipDataPreprocessor', mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375]
    ),
    backbone=dict(
        type='InternVideo2',
        arch='small',
        num_frames=8,
        drop_path_rate=0.05,
        use_checkpoint=True,
        checkpoint_num=0,
    ),
    neck=dict(type='AlignmentNeck', clip_decoder='MLPDecoder', clip_dim=1408, clip_final_dim=768),
    targets=dict(
        type='InlineTeachers',
        clip=dict(
            encoder=dict(type='InternVideo2', arch='1B', num_frames=8),
            layers=dict(count=6, interval=3.34),
            init_cfg=dict(
                type='Published',
                adapter='internvideo2_single',
                stage2=True,
                orig_t_size=4,
                checkpoint='{{$INTERNVIDEO2_MODEL_PATH:checkpoints}}/1B_stage2_pt.pth',
            ),
        ),
    ),
    masker=dict(type='AttentionMask', ratio=0.8, per='clip'),
    loss=dict(type='AlignmentLoss', clip_middle=1.0, clip_final=1.0),
    clip_layers=dict(count=6, interval=1),
)
