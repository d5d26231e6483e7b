# No published script: the settings of retrieval.
_base_ = '../../_base_/recipes/stage2_6B_evaluation.py'

test_dataloader = dict(dataset=dict(sets=['msrvtt_mc_test']))
