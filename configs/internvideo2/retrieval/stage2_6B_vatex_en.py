# No published script: the settings of the other sets.
_base_ = '../../_base_/recipes/stage2_6B_evaluation.py'

test_dataloader = dict(dataset=dict(sets=['vatex_en_ret_val']))
