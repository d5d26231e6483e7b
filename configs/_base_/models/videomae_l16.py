_base_ = './videomae_recognizer.py'

model = dict(backbone=dict(arch='large', drop_path_rate=0.2), head=dict(in_dim=1024))
