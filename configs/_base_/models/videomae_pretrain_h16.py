_base_ = './videomae_pretrain_b16.py'

model = dict(backbone=dict(arch='huge'), decoder=dict(embed_dim=512, depth=8, num_heads=8))
