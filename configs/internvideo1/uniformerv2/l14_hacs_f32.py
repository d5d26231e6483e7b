_base_ = './l14_hacs_f16.py'

recipe = 'internvideo1_pretrain/uniformerv2_hacs_l14_32x224'
num_gpus = 32

checkpoint = '{{$INTERNVIDEO2_MODEL_PATH:checkpoints}}/k400_k710_uniformerv2_l14_32x224.pyth'
frames = dict(num_frames=32)
model = dict(backbone=frames, init_cfg=dict(checkpoint=checkpoint))
train_dataloader = dict(batch_size=2, dataset=dict(sampling=frames))
val_dataloader = dict(batch_size=4, dataset=dict(sampling=frames))
test_dataloader = dict(dataset=dict(sampling=frames))
