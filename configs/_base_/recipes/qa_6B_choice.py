_base_ = ['../models/internvideo2_qa_6B.py', './qa_choice.py']

model = dict(type='VideoMultipleChoice')
