strategy = dict(type='SingleDevice')
