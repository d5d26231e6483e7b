# The published script trains the base model by mistake; this is the large one of its name.
_base_ = './base_stage1.py'
recipe = 'internvideo_next/large_stage1'

model = dict(
    backbone=dict(arch='large', drop_path_rate=0.2), teacher=dict(layers=dict(interval=1.67))
)
