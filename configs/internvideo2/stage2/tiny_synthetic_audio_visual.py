# Videos with their sound in miniature, described by captions of what is seen and heard.
#   tools/demo_multimodal.sh audio_visual
_base_ = [
    '../../_base_/models/internvideo2_tiny_stage2_audio.py',
    '../../_base_/recipes/synthetic_media.py',
]
model = dict(
    loss_weights=dict(avtc=1.0, avtm=1.0, avmlm=1.0, vtc=0.0, vtm=0.0, mlm=0.0),
    loss_captions=dict.fromkeys(('avtc', 'avtm', 'avmlm'), 'avs_captions'),
)
train_dataloader = dict(dataset=dict(mix=['sounding_scenes']))
val_dataloader = dict(dataset=dict(sets=['sounding_scenes_val']))
test_dataloader = dict(dataset=dict(sets=['sounding_scenes_test']))
train_cfg = dict(max_epochs=8, val_interval=4)
