# Stage 2: an InternVideo2 encoder, BERT-large as text and fusion encoder, and the objectives that
# join them; it starts from an encoder of stage 1 and from BERT.  The decoders of the masked alignment
# stay beside the encoder, as in released files.
model = dict(
    type='InternVideo2Stage2',
    data_preprocessor=dict(
        type='MediaTextPreprocessor',
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        tokenizer=dict(type='WordPieceTokenizer', source='bert-large-uncased', max_length=32),
    ),
    vision_encoder=dict(type='InternVideo2', num_frames=4),
    neck=dict(type='AlignmentNeck', clip_dim=3200, clip_final_dim=768),
    clip_layers=dict(count=6, interval=1),
    text_encoder=dict(
        type='FusionBertForMaskedLM',
        arch='large',
        init_cfg=dict(
            type='Published',
            adapter='bert',
            checkpoint='hf://google-bert/bert-large-uncased/model.safetensors',
        ),
    ),
    image_masker=dict(type='RandomMask', ratio=0.5),
    video_masker=dict(type='RandomMask', ratio=0.8),
    loss_weights=dict(vtc=1.0, vtm=1.0, mlm=1.0),
    hard_negatives=True,
    masking=dict(probability=0.5),
    temp=0.07,
    init_cfg=dict(type='Published', adapter='internvideo2_stage2', kind='stage1', orig_t_size=8),
)
