# Every evaluation set by name, and the loader and loop of any of them.  A leaf tests some:
# test_dataloader = dict(dataset=dict(sets=['msrvtt_1k_test'])).
root = '{{$INTERNVIDEO2_DATA_PATH:data}}'
table = dict(
    # retrieval
    msrvtt_1k_test=dict(
        type='RetrievalSet',
        ann_file=f'{root}/msrvtt/1k_test.json',
        data_prefix=f'{root}/msrvtt',
        media_type='video',
    ),
    didemo_ret_test=dict(
        type='RetrievalSet',
        ann_file=f'{root}/didemo/ret_test.json',
        data_prefix=f'{root}/didemo',
        media_type='video',
        paragraph=True,
        trimmed_seconds=30,
        max_text_length=64,
    ),
    anet_ret_val=dict(
        type='RetrievalSet',
        ann_file=f'{root}/anet/ret_val.json',
        data_prefix=f'{root}/anet',
        media_type='video',
        paragraph=True,
        max_text_length=150,
    ),
    lsmdc_ret_test_1000=dict(
        type='RetrievalSet',
        ann_file=f'{root}/lsmdc/ret_test_1000.json',
        data_prefix=f'{root}/lsmdc',
        media_type='video',
    ),
    vatex_ch_ret_val=dict(
        type='RetrievalSet',
        ann_file=f'{root}/vatex/ch_ret_val.json',
        data_prefix=f'{root}/vatex',
        media_type='video',
    ),
    vatex_en_ret_val=dict(
        type='RetrievalSet',
        ann_file=f'{root}/vatex/en_ret_val.json',
        data_prefix=f'{root}/vatex',
        media_type='video',
    ),
    didemo_ret_val=dict(
        type='RetrievalSet',
        ann_file=f'{root}/didemo/ret_val.json',
        data_prefix=f'{root}/didemo',
        media_type='video',
        paragraph=True,
        trimmed_seconds=30,
        max_text_length=64,
    ),
    lsmdc_ret_val=dict(
        type='RetrievalSet',
        ann_file=f'{root}/lsmdc/ret_val.json',
        data_prefix=f'{root}/lsmdc',
        media_type='video',
        max_text_length=96,
    ),
    msrvtt_ret_test1k=dict(
        type='RetrievalSet',
        ann_file=f'{root}/msrvtt/ret_test1k.json',
        data_prefix=f'{root}/msrvtt',
        media_type='video',
    ),
    msvd_ret_val=dict(
        type='RetrievalSet',
        ann_file=f'{root}/msvd/ret_val.json',
        data_prefix=f'{root}/msvd',
        media_type='video',
        max_text_length=64,
    ),
    msvd_ret_test=dict(
        type='RetrievalSet',
        ann_file=f'{root}/msvd/ret_test.json',
        data_prefix=f'{root}/msvd',
        media_type='video',
        max_text_length=64,
    ),
    audiocaps_ret_test=dict(
        type='RetrievalSet',
        ann_file=f'{root}/audiocaps/ret_test.json',
        data_prefix=f'{root}/audiocaps',
        media_type='audio',
    ),
    clothov1_ret_test=dict(
        type='RetrievalSet',
        ann_file=f'{root}/clotho_v1/ret_test.json',
        data_prefix=f'{root}/clotho_v1',
        media_type='audio',
    ),
    clothov2_ret_test=dict(
        type='RetrievalSet',
        ann_file=f'{root}/clotho_v2/ret_test.json',
        data_prefix=f'{root}/clotho_v2',
        media_type='audio',
    ),
    # Something-Something: labels with their objects, and the 174 templates, each of many videos
    ssv2_label_ret_val=dict(
        type='RetrievalSet',
        ann_file=f'{root}/ssv2/label_ret_val.json',
        data_prefix=f'{root}/ssv2',
        media_type='video',
    ),
    ssv2_template_ret_val=dict(
        type='RetrievalSet',
        ann_file=f'{root}/ssv2/template_ret_val.json',
        data_prefix=f'{root}/ssv2',
        media_type='video',
        multi_vision=True,
    ),
    # actions, whose texts are class names in templates
    k400_act_val=dict(
        type='ActionSet',
        ann_file=f'{root}/k400/act_val.json',
        data_prefix=f'{root}/k400',
        media_type='video',
    ),
    k600_act_val=dict(
        type='ActionSet',
        ann_file=f'{root}/k600/act_val.json',
        data_prefix=f'{root}/k600',
        media_type='video',
    ),
    k700_act_val=dict(
        type='ActionSet',
        ann_file=f'{root}/k700/act_val.json',
        data_prefix=f'{root}/k700',
        media_type='video',
    ),
    mit_act_val=dict(
        type='ActionSet',
        ann_file=f'{root}/mit/act_val.json',
        data_prefix=f'{root}/mit',
        media_type='video',
    ),
    ucf101_act_val=dict(
        type='ActionSet',
        ann_file=f'{root}/ucf101/act_val.json',
        data_prefix=f'{root}/ucf101',
        media_type='video',
    ),
    hmdb51_act_val=dict(
        type='ActionSet',
        ann_file=f'{root}/hmdb51/act_val.json',
        data_prefix=f'{root}/hmdb51',
        media_type='video',
    ),
    # multiple choice
    ssv2_mc_val=dict(
        type='ChoiceSet',
        ann_file=f'{root}/ssv2/mc_val.json',
        data_prefix=f'{root}/ssv2',
        media_type='video',
    ),
    msrvtt_mc_test=dict(
        type='ChoiceSet',
        ann_file=f'{root}/msrvtt/mc_test.json',
        data_prefix=f'{root}/msrvtt',
        media_type='video',
    ),
    charades_mc_test=dict(
        type='ChoiceSet',
        ann_file=f'{root}/charades/mc_test.json',
        data_prefix=f'{root}/charades',
        media_type='video',
    ),
)
loader = dict(
    batch_size=4,
    num_workers=6,
    sampler=dict(type='EvalSampler'),
    collate_fn=dict(type='collate_media'),
    dataset=dict(
        type='EvaluationSets',
        table=table,
        sets=[],
        max_text_length=32,  # of sets that say nothing else, whatever length training had
        sampling=dict(type='IntervalSample', num_frames=4, mode='middle'),
        pipeline=[
            dict(type='ResizeSquare', size=224, interpolation='bicubic', antialias=False),
            dict(type='PackMedia'),
        ],
    ),
)
val_dataloader, test_dataloader = loader, loader
# Each metric scores the chosen sets of its task.
val_evaluator = test_evaluator = [
    dict(type='RetrievalMetric', k_test=128),
    dict(type='ZeroShotMetric'),
    dict(type='MultipleChoiceMetric'),
]
val_cfg = dict(type='ValLoop', amp_dtype='bfloat16')
test_cfg = dict(type='TestLoop', amp_dtype='bfloat16')
del root, table, loader
