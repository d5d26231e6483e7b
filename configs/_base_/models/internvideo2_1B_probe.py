# The frozen encoder under a trained head; `freeze.open_pooler` trains the attention pooling too.
_base_ = './internvideo2_1B.py'

model = dict(
    backbone=dict(num_frames=16, drop_path_rate=0.0, use_checkpoint=False, checkpoint_num=0),
    freeze=dict(open_blocks=0, open_pooler=False),
)
