# Masked pretraining: a student aligned with InternVL-6B (images) and VideoMAEv2-g (videos).
# Of sixteen frames, the MAE teacher sees all, the student and the CLIP teacher every second one.
model = dict(
    type='MaskedAlignment',
    data_preprocessor=dict(
        type='ClipDataPreprocessor', mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375]
    ),
    backbone=dict(type='InternVideo2', arch='1B', num_frames=8, use_checkpoint=True),
    neck=dict(
        type='AlignmentNeck',
        clip_decoder='LinearDecoder',
        clip_dim=3200,
        clip_final_dim=768,
        mae_dim=1408,
    ),
    targets=dict(
        type='InlineTeachers',
        clip=dict(
            encoder=dict(type='InternVLVision', arch='6B'),
            layers=dict(count=6, interval=1),
            frame_stride=2,
            init_cfg=dict(
                type='Published',
                adapter='internvl',
                checkpoint='{{$INTERNVIDEO2_MODEL_PATH:checkpoints}}/internvl_clip_6b.pth',
            ),
        ),
        mae=dict(
            # attention_layout='published' runs the teacher as the published code does.
            encoder=dict(type='VideoMAE', arch='giant', num_frames=16, tubelet_size=2),
            layers=dict(count=4, interval=1),
            init_cfg=dict(
                type='Published',
                adapter='videomae_teacher',
                checkpoint='{{$INTERNVIDEO2_MODEL_PATH:checkpoints}}/mae_g14_hybrid.pth',
            ),
        ),
    ),
    masker=dict(type='AttentionMask', ratio=0.8, per='frame'),
    loss=dict(type='AlignmentLoss', clip_middle=1.0, clip_final=1.0, mae=1.0),
    clip_layers=dict(count=6, interval=1),
    mae_layers=dict(count=4, interval=1),
    frame_stride=2,
)
