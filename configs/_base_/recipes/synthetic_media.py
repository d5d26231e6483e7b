# Training from scratch on the scenes of the generated world, in float32 on a CPU.
_base_ = [
    '../datasets/synthetic_media.py',
    '../schedules/stage2.py',
    '../strategies/auto.py',
    '../default_runtime.py',
]
optim_wrapper = dict(
    _delete_=True,
    type='OptimWrapper',
    optimizer=dict(type='AdamW', lr=1e-3, betas=(0.9, 0.98), weight_decay=0.05),
    constructor='ModuleLrConstructor',
    # Of what is trained, this alone was trained before.
    paramwise_cfg=dict(patterns=[r'encoder\.layer\.5\.'], lr=3e-4),
    clip_grad=dict(max_norm=1.0),
)
param_scheduler = dict(warmup_epochs=2)
val_dataloader = dict(dataset=dict(sets=['scenes_val']))
default_hooks = dict(logger=dict(interval=37), checkpoint=dict(interval=4, save_best=None))
# Sound alone leaves weights of what sees without a gradient, which several processes have to know.
strategy = dict(ddp=dict(find_unused_parameters=True))
