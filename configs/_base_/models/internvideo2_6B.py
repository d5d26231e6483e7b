_base_ = './internvideo2_recognizer.py'

model = dict(backbone=dict(arch='6B', drop_path_rate=0.35, use_checkpoint=True, checkpoint_num=24))
