# The released model with its decoder, to search videos and to write captions.
_base_ = '../../_base_/recipes/internvideo1_mm_l14_evaluation.py'

model = dict(
    # In the place of the None by which tests leave it out.
    caption_decoder=dict(
        _delete_=True, type='CaptionDecoder', width=768, vision_width=1024, n_layers=4, heads=12
    ),
)
test_dataloader = dict(dataset=dict(sets=['msrvtt_1k_test']))
