_base_ = ['../../_base_/datasets/qa_tgif_frame.py', '../../_base_/recipes/qa_1B_open_ended.py']
