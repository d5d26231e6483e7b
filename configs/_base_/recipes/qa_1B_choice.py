_base_ = ['../models/internvideo2_qa_1B.py', './qa_choice.py']

model = dict(type='VideoMultipleChoice')
