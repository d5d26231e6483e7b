strategy = dict(type='DeepSpeed', stage=3, recipe='multi_modality')
