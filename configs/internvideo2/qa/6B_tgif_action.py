_base_ = ['../../_base_/datasets/qa_tgif_action.py', '../../_base_/recipes/qa_6B_choice.py']
