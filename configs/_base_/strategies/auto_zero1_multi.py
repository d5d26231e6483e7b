# As auto_zero1, with the settings of the multi-modality recipes.  Image, video and audio batches
# use different weights, which DistributedDataParallel has to be told.
strategy = dict(
    type='auto',
    zero=dict(stage=1, recipe='multi_modality'),
    ddp=dict(find_unused_parameters=True),
)
