# Audio and its captions in miniature: audio and text encoders learn, without frames.
#   tools/demo_multimodal.sh audio
_base_ = [
    '../../_base_/models/internvideo2_tiny_stage2_audio.py',
    '../../_base_/recipes/synthetic_media.py',
]
model = dict(
    data_preprocessor=dict(tokenizer=dict(max_length=18)),
    freeze=['vision', 'text'],
    # Masked words of sounds need the weight of mlm, as published.
    loss_weights=dict(vtc=0.0, vtm=0.0, atc=1.0, atm=1.0, amlm=1.0),
)
train_dataloader = dict(dataset=dict(mix=['sounds']))
val_dataloader = dict(dataset=dict(sets=['sounds_val']))
test_dataloader = dict(dataset=dict(sets=['sounds_test']))
param_scheduler = dict(warmup_epochs=0.5)
train_cfg = dict(max_epochs=6, val_interval=3)
