# CLIP of a distilled encoder and MobileCLIP-B's text tower, both frozen: the pooler, the projection
# behind it and the temperature learn.
root = '{{$INTERNVIDEO2_MODEL_PATH:checkpoints}}'
model = dict(
    type='InternVideo2CLIP',
    data_preprocessor=dict(
        type='MediaTextPreprocessor',
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        tokenizer=dict(type='CLIPTokenizer', max_length=77),
    ),
    vision_encoder=dict(
        type='InternVideo2',
        num_frames=8,
        image_pos_embed='shared',
        init_values=0.1,
        layerscale_force_fp32=False,
    ),
    text_encoder=dict(type='MobileCLIPText'),
    align_dim=512,
    init_cfg=dict(
        type='Published',
        adapter='internvideo2_clip',
        kind='stage1',
        text=f'{root}/mobileclip_blt.pt',
    ),
)
del root
