# The second teacher of the tiny pretraining: a VideoMAE encoder that learned the eight motions.
_base_ = '../tiny_synthetic.py'

model = dict(
    backbone=dict(
        _delete_=True,
        type='VideoMAE',
        arch=None,
        embed_dim=96,
        depth=3,
        num_heads=4,
        mlp_ratio=4.0,
        img_size=32,
        patch_size=8,
        num_frames=8,
        tubelet_size=4,
        pos_embed='stored',
        pooling='mean',
    ),
)
