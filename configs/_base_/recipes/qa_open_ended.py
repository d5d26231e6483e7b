# The decoder's maps of keys and values read states of text, which no file has weights for; they
# take the rate of pretraining.
_base_ = './qa.py'

optim_wrapper = dict(
    paramwise_cfg=dict(
        patterns=[r'^answer_decoder\..*crossattention\.self\.(key|value)\.'], lr=5e-5
    ),
)
custom_hooks = [dict(type='CandidateAnswersHook')]
default_hooks = dict(checkpoint=dict(save_best='qa/accuracy'))
