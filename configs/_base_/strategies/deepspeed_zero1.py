strategy = dict(type='DeepSpeed', stage=1, recipe='single_modality')
