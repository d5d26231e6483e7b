strategy = dict(type='DDP', find_unused_parameters=False, broadcast_buffers=False)
