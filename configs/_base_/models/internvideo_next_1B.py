# The encoder of the 1B sources, of which no weights are published.
model = dict(type='InternVideoNext', arch='1B', img_size=224, num_frames=16, act='gelu_tanh')
