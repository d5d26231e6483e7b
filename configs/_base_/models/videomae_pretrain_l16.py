_base_ = './videomae_pretrain_b16.py'

model = dict(backbone=dict(arch='large'), decoder=dict(embed_dim=512, depth=12, num_heads=8))
