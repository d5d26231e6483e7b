# No published script: the settings of the other choices.
_base_ = '../../_base_/recipes/clip_S14_evaluation.py'

test_dataloader = dict(batch_size=4, dataset=dict(sets=['msrvtt_mc_test']))
