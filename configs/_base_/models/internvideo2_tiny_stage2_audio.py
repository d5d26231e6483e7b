# As internvideo2_tiny_stage2, with a BEATs that starts from random weights.  Two seconds of sound
# are 12 x 4 patches.
_base_ = './internvideo2_tiny_stage2.py'

model = dict(
    data_preprocessor=dict(tokenizer=dict(max_length=36)),
    audio_encoder=dict(
        type='BEATs',
        embed_dim=96,
        encoder_layers=3,
        encoder_embed_dim=96,
        encoder_ffn_embed_dim=384,
        encoder_attention_heads=4,
        layer_wise_gradient_decay_ratio=1.0,
        encoder_layerdrop=0.0,
        conv_pos=16,
        conv_pos_groups=4,
        num_buckets=32,
        max_distance=64,
    ),
    av_concat_dim=96,
)
