# First stage of InternVideo-Next: aligned with SigLIP 2's 1B image tower, pixels by denoising.
model = dict(
    type='InternVideoNextStage1',
    data_preprocessor=dict(
        type='ClipDataPreprocessor', mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375]
    ),
    backbone=dict(type='InternVideoNext', arch='base', num_frames=16, drop_path_rate=0.1),
    predictor=dict(
        type='ModernBertLayers',
        init_cfg=dict(
            type='Published',
            adapter='modernbert',
            checkpoint='{{$INTERNVIDEO2_MODEL_PATH:checkpoints}}/ModernBERT-large/model.safetensors',
        ),
    ),
    decoder=dict(type='DenoisingDecoder', width=1536, depth=6),
    teacher=dict(
        type='FrameTeacher',
        encoder=dict(type='SiglipVision', arch='giant', img_size=256, patch_size=16),
        layers=dict(count=6, interval=3.33),
        init_cfg=dict(
            type='Published',
            adapter='siglip',
            checkpoint='{{$INTERNVIDEO2_MODEL_PATH:checkpoints}}/siglip2-giant-opt-patch16-256/model.safetensors.index.json',
        ),
    ),
    masker=dict(type='AttentionMask', ratio=0.75, per='frame'),
    clip_layers=dict(count=6, interval=1),
    align_dim=1536,
    align_final_dim=1536,
    loss=dict(type='DiffusionAlignmentLoss', clip_middle=1.0, clip_final=1.0, diffusion=1.0),
    published_quirks=True,
)
