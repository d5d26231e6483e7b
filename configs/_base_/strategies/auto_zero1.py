# The published recipes train under DeepSpeed ZeRO-1: so do several GPUs here where DeepSpeed is
# installed.  Elsewhere DistributedDataParallel computes the same; one process needs neither.
strategy = dict(type='auto', zero=dict(stage=1, recipe='single_modality'))
