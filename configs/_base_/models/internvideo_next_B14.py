# The released encoder alone, for features; clips of other lengths and sizes are taken as they are.
model = dict(type='InternVideoNext', arch='base', img_size=224, num_frames=16, act='gelu_tanh')
