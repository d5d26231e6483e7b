_base_ = './internvideo2_recognizer.py'

model = dict(backbone=dict(arch='large', drop_path_rate=0.1))
