strategy = dict(type='DeepSpeed', stage=2, recipe='single_modality')
