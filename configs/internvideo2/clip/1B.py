_base_ = ['../../_base_/models/internvideo2_clip_1B.py', '../../_base_/recipes/clip.py']
recipe = 'internvideo2_multi_modality/pretraining/clip/1B/config'
