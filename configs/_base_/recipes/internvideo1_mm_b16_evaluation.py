_base_ = ['../models/internvideo1_mm_b16.py', './internvideo1_mm_evaluation.py']

checkpoint = '{{$INTERNVIDEO2_MODEL_PATH:checkpoints}}/InternVideo-MM-B-16.ckpt'
# Nothing that is tested asks the decoder.
model = dict(
    caption_decoder=None,
    init_cfg=dict(type='Published', adapter='internvideo_multimodal', checkpoint=checkpoint),
)
del checkpoint
