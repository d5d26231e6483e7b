# ViCLIP-L that goes on from its masked pretraining, now with all patches.
_base_ = './viclip_pretrain_l14.py'

model = dict(masking_prob=0.0, init_cfg=dict(adapter='viclip'))
