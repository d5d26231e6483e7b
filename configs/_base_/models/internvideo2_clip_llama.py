# CLIP of a stage-2 encoder and the text tower of InternVL-C, both frozen: the pooler learns, and the
# temperature.
root = '{{$INTERNVIDEO2_MODEL_PATH:checkpoints}}'
model = dict(
    type='InternVideo2CLIP',
    data_preprocessor=dict(
        type='MediaTextPreprocessor',
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        tokenizer=dict(
            type='LlamaTokenizer', source=f'{root}/chinese_alpaca_lora_7b', max_length=80
        ),
    ),
    vision_encoder=dict(
        type='InternVideo2',
        num_frames=8,
        image_pos_embed='shared',
        init_values=0.1,
        layerscale_force_fp32=False,
    ),
    text_encoder=dict(type='LlamaText', arch='7B', out_dim=768, lora=dict()),
    init_cfg=dict(
        type='Published',
        adapter='internvideo2_clip',
        kind='stage2',
        text=f'{root}/internvl/internvl_c_13b_224px.pth',
    ),
)
del root
