# With BEATs as audio encoder, frozen, and the objectives of sound and picture together.
_base_ = './internvideo2_stage2.py'

root = '{{$INTERNVIDEO2_MODEL_PATH:checkpoints}}'
model = dict(
    data_preprocessor=dict(tokenizer=dict(max_length=40)),
    vision_encoder=dict(
        arch='6B',
        image_pos_embed='shared',
        drop_path_rate=0.3,
        use_checkpoint=True,
        checkpoint_num=48,
    ),
    audio_encoder=dict(
        type='BEATs',
        init_cfg=dict(type='Published', adapter='beats', checkpoint=f'{root}/beats.pth'),
    ),
    embed_dim=768,
    av_concat_dim=768,
    loss_weights=dict(avtc=1.0, avtm=1.0, avmlm=1.0),
    loss_captions=dict.fromkeys(('vtc', 'vtm', 'mlm', 'avtc', 'avtm', 'avmlm'), 'avs_captions'),
    uta_image_only=True,
    freeze=['audio'],
    init_cfg=dict(checkpoint=f'{root}/6B_stage1.pth'),
)
del root
