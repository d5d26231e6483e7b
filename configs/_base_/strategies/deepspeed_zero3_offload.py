# Weights and optimiser in main memory.
strategy = dict(
    type='DeepSpeed',
    stage=3,
    recipe='multi_modality',
    offload_optimizer=True,
    offload_param=True,
)
