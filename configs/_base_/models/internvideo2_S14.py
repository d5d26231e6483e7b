_base_ = './internvideo2_recognizer.py'

model = dict(backbone=dict(arch='small', drop_path_rate=0.1))
