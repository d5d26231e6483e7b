# CLIP in miniature: both towers start from random weights and learn.
_base_ = './internvideo2_tiny_trunk.py'

model = dict(
    type='InternVideo2CLIP',
    data_preprocessor=dict(tokenizer=dict(type='CLIPTokenizer', max_length=32)),
    text_encoder=dict(
        type='MobileCLIPText',
        context_length=32,
        dim=128,
        n_transformer_layers=2,
        n_heads_per_layer=4,
        projection_dim=128,
    ),
    align_dim=128,
    temp=0.07,
    freeze_vision=False,
    freeze_text=False,
)
