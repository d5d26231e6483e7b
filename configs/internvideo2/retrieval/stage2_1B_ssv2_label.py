# No published script: the settings of the other sets.
_base_ = '../../_base_/recipes/stage2_1B_evaluation.py'

test_dataloader = dict(dataset=dict(sets=['ssv2_label_ret_val']))
