_base_ = './internvideo2_recognizer.py'

model = dict(backbone=dict(arch='1B', drop_path_rate=0.3, use_checkpoint=True, checkpoint_num=6))
