_base_ = ['../../_base_/datasets/qa_msrvtt_mc.py', '../../_base_/recipes/qa_6B_choice.py']

# Without training: the matching head of the released file chooses.
num_gpus = 1
train_cfg = val_cfg = optim_wrapper = param_scheduler = None
strategy = dict(_delete_=True, type='auto')
default_hooks = dict(checkpoint=dict(save_best=None))
