# One process: the bare model.  Several: DistributedDataParallel.
strategy = dict(type='auto')
