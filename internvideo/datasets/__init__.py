"""Data sets: one file per annotation format; transforms, samplers and the generated world below."""
