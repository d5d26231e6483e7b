_base_ = './kmash_1.1M.py'

ann_file = '{{$INTERNVIDEO2_DATA_PATH:data}}/kmash/train_2M.csv'
train_dataloader = dict(dataset=dict(ann_file=ann_file))
del ann_file
