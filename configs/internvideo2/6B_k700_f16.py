_base_ = './6B_k700.py'

recipe = 'internvideo2_single_modality/finetuning/full_tuning/k700/6B_ft_k710_ft_k700_f16'
frames = dict(num_frames=16)
model = dict(backbone=dict(num_frames=16, checkpoint_num=30))
train_dataloader = dict(batch_size=2, dataset=dict(sampling=frames))
val_dataloader = dict(batch_size=3, dataset=dict(sampling=frames))
test_dataloader = dict(dataset=dict(sampling=frames))
