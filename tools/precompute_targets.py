"""Keep teacher features in files: python tools/precompute_targets.py CONFIG OUT [options].

Train on them with ``model.targets=dict(type='PrecomputedTargets', root=OUT)`` and
``train_dataloader.sampler.augment_period`` equal to ``--num-crops``.  Jobs may share OUT: each
takes its ``--shard``; parts that are there already are left alone, so a stopped job is started
again with the same command.  The jobs of a SLURM array find their shards themselves.
"""

import sys

from internvideo.cli.precompute import command

if __name__ == '__main__':
    sys.exit(command(sys.argv[1:]))
