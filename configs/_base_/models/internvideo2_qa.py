# Stage 2 as it reads questions: encoder and fusion encoder.  What only retrieval needs, pooling and
# projections, is not built; nor are tables of images and the masked-language head.
model = dict(
    data_preprocessor=dict(
        type='QuestionPreprocessor',
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        tokenizer=dict(type='WordPieceTokenizer', source='bert-large-uncased', max_length=40),
    ),
    vision_encoder=dict(type='InternVideo2', num_frames=4, clip_embed_dim=None),
    text_encoder=dict(type='FusionBert', arch='large'),
    blind=False,
    init_cfg=dict(type='Published', adapter='internvideo2_answering', orig_t_size=4),
)
