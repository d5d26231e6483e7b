_base_ = ['../models/internvideo2_qa_1B.py', './qa_open_ended.py']

model = dict(
    type='VideoQuestionAnswering',
    data_preprocessor=dict(max_answer_length=10),
    num_candidates=128,
)
