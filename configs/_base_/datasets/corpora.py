# Every training corpus by name: what it holds, how its captions are taken and where it is.  A leaf
# mixes some of them: train_dataloader = dict(dataset=dict(mix=['cc3m', 'webvid'])).
#
# Annotations are JSON lists (or SQLite files) of a path and a caption each.  `filter_captions=False`
# keeps captions of less than two words.
root = '{{$INTERNVIDEO2_DATA_PATH:data}}'
table = dict(
    # pretraining
    cc3m=dict(ann_file=f'{root}/cc3m/train.json', data_prefix=f'{root}/cc3m', media_type='image'),
    cc12m=dict(
        ann_file=f'{root}/cc12m/train.json', data_prefix=f'{root}/cc12m', media_type='image'
    ),
    sbu=dict(ann_file=f'{root}/sbu/train.json', data_prefix=f'{root}/sbu', media_type='image'),
    vg=dict(
        ann_file=f'{root}/vg/train.json',
        data_prefix=f'{root}/vg',
        media_type='image',
        filter_captions=False,
    ),
    coco=dict(
        ann_file=f'{root}/coco/train.json',
        data_prefix=f'{root}/coco',
        media_type='image',
        filter_captions=False,
    ),
    laion_2b=dict(
        ann_file=f'{root}/laion_2b/train.json',
        data_prefix=f'{root}/laion_2b',
        media_type='image',
        filter_captions=False,
    ),
    laion_coco=dict(
        ann_file=f'{root}/laion_coco/train.json',
        data_prefix=f'{root}/laion_coco',
        media_type='image',
        filter_captions=False,
    ),
    laion_pop=dict(
        ann_file=f'{root}/laion_pop/train.json',
        data_prefix=f'{root}/laion_pop',
        media_type='image',
        filter_captions=False,
    ),
    webvid_fuse_10m=dict(
        ann_file=f'{root}/webvid_fuse_10m/train.json',
        data_prefix=f'{root}/webvid_fuse_10m',
        media_type='video',
        filter_captions=False,
    ),
    internvid_v1=dict(
        ann_file=f'{root}/internvid_v1/train.json',
        data_prefix=f'{root}/internvid_v1',
        media_type='video',
        filter_captions=False,
    ),
    internvid_v2_avs_private=dict(
        ann_file=f'{root}/internvid_v2_avs_private/train.json',
        data_prefix=f'{root}/internvid_v2_avs_private',
        media_type='audio_video',
        clip_from_video=False,
        audio_from_video=True,
        pad_missing_audio=True,
        caption_choice='avs_all',
        filter_captions=False,
    ),
    webvid=dict(
        ann_file=f'{root}/webvid/train.json', data_prefix=f'{root}/webvid', media_type='video'
    ),
    webvid_10m=dict(
        ann_file=f'{root}/webvid_10m/train.json',
        data_prefix=f'{root}/webvid_10m',
        media_type='video',
    ),
    wavcaps_400k=dict(
        ann_file=f'{root}/wavcaps_400k/train.json',
        data_prefix=f'{root}/wavcaps_400k',
        media_type='audio',
    ),
    cc3m_debug=dict(
        ann_file=f'{root}/cc3m_debug/train.json',
        data_prefix=f'{root}/cc3m_debug',
        media_type='image',
    ),
    webvid_debug=dict(
        ann_file=f'{root}/webvid_debug/train.json',
        data_prefix=f'{root}/webvid_debug',
        media_type='video',
    ),
    # fine-tuning for retrieval
    anet_ret_train=dict(
        ann_file=f'{root}/anet/ret_train.json',
        data_prefix=f'{root}/anet',
        media_type='video',
        paragraph=True,
        max_text_length=150,
    ),
    didemo_ret_train=dict(
        ann_file=f'{root}/didemo/ret_train.json',
        data_prefix=f'{root}/didemo',
        media_type='video',
        paragraph=True,
        trimmed_seconds=30,
        max_text_length=64,
    ),
    lsmdc_ret_train=dict(
        ann_file=f'{root}/lsmdc/ret_train.json',
        data_prefix=f'{root}/lsmdc',
        media_type='video',
        max_text_length=96,
    ),
    msrvtt_ret_train9k=dict(
        ann_file=f'{root}/msrvtt/ret_train9k.json', data_prefix=f'{root}/msrvtt', media_type='video'
    ),
    msvd_ret_train=dict(
        ann_file=f'{root}/msvd/ret_train.json',
        data_prefix=f'{root}/msvd',
        media_type='video',
        max_text_length=64,
        multi_text=True,
    ),
    vatex_en_ret_train=dict(
        ann_file=f'{root}/vatex/en_ret_train.json',
        data_prefix=f'{root}/vatex',
        media_type='video',
        multi_text=True,
    ),
    vatex_ch_ret_train=dict(
        ann_file=f'{root}/vatex/ch_ret_train.json',
        data_prefix=f'{root}/vatex',
        media_type='video',
        filter_captions=False,  # written without blanks, every caption is one word
        multi_text=True,
    ),
    ssv2_label_ret_train=dict(
        ann_file=f'{root}/ssv2/label_ret_train.json',
        data_prefix=f'{root}/ssv2',
        media_type='video',
    ),
    ssv2_template_ret_train=dict(
        ann_file=f'{root}/ssv2/template_ret_train.json',
        data_prefix=f'{root}/ssv2',
        media_type='video',
        multi_vision=True,
    ),
    audiocaps_ret_train=dict(
        ann_file=f'{root}/audiocaps/ret_train.json',
        data_prefix=f'{root}/audiocaps',
        media_type='audio',
    ),
    clothov1_ret_train=dict(
        ann_file=f'{root}/clotho_v1/ret_train.json',
        data_prefix=f'{root}/clotho_v1',
        media_type='audio',
    ),
    clothov2_ret_train=dict(
        ann_file=f'{root}/clotho_v2/ret_train.json',
        data_prefix=f'{root}/clotho_v2',
        media_type='audio',
    ),
)
train_dataloader = dict(dataset=dict(table=table))
del root, table
