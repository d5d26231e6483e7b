_base_ = './videomae_recognizer.py'

model = dict(backbone=dict(arch='base'), head=dict(in_dim=768))
