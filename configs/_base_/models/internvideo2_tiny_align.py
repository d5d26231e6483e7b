# Alignment in miniature, for the generated world: clips of 8 frames of 32 px, 2 x 4 x 4 tokens.
encoder = dict(
    arch=None, depth=3, num_heads=4, mlp_ratio=4.0, img_size=32, patch_size=8, num_frames=8
)
pooled = dict(tubelet_size=4, init_values=0, clip_embed_dim=96, attn_pool_num_heads=4)
model = dict(
    type='MaskedAlignment',
    data_preprocessor=dict(type='ClipDataPreprocessor'),
    backbone=dict(type='InternVideo2', embed_dim=96, **encoder, **pooled),
    neck=dict(type='AlignmentNeck', clip_dim=96, clip_final_dim=96),
    targets=dict(
        type='InlineTeachers',
        clip=dict(
            encoder=dict(type='InternVideo2', embed_dim=96, **encoder, **pooled),
            layers=dict(count=2),
            dtype='float32',
            init_cfg=dict(
                type='Published',
                adapter='internvideo2_single',
                checkpoint='{{$INTERNVIDEO2_MODEL_PATH:checkpoints}}/tiny_teacher.pth',
            ),
        ),
    ),
    masker=dict(type='AttentionMask', ratio=0.5, per='clip'),
    clip_layers=dict(count=2),
)
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='AdamW', lr=2e-3, betas=(0.9, 0.98), weight_decay=0.05),
    constructor='LayerDecayConstructor',
    clip_grad=dict(max_norm=1.0),
)
lr_scaling = dict(base_batch_size=32)
param_scheduler = dict(type='WarmupCosine', warmup_epochs=1, min_lr=1e-5, warmup_lr=0.0)
del encoder, pooled
