_base_ = './qa.py'

default_hooks = dict(checkpoint=dict(save_best='choice/accuracy'))
