# Sounds and their captions; the released file has no matching head for sound alone.
_base_ = '../../_base_/recipes/stage2_6B_evaluation.py'

test_dataloader = dict(dataset=dict(sets=['audiocaps_ret_test']))
