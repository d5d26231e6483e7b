# The released model as the published demonstration runs it, in float32.
_base_ = '../../_base_/recipes/stage2_1B_evaluation.py'
recipe = 'internvideo2_multi_modality/demo/internvideo2_stage2_config'

test_dataloader = dict(dataset=dict(sets=['msrvtt_1k_test']))
test_cfg = dict(amp_dtype=None)
