_base_ = ['../../_base_/models/internvideo2_stage2_1B.py', '../../_base_/recipes/stage2.py']
recipe = 'internvideo2_multi_modality/pretraining/stage2/1B/config'
num_gpus = 64
