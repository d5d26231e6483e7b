# No published script: the settings of the other sets.
_base_ = '../../_base_/recipes/stage2_6B_evaluation.py'

test_dataloader = dict(dataset=dict(sets=['ssv2_template_ret_val']))
