strategy = dict(type='FSDP')
