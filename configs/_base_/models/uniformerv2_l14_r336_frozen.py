# CLIP's tower stays as it is: the global path and the classifier learn.  The published code says
# "frozen" and trains all of it, which `freeze=None` does too.
_base_ = './uniformerv2_l14_r336.py'

model = dict(backbone=dict(balance=False), freeze=dict(open_pooler=True))
