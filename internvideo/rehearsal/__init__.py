"""Rehearsal of a config before it is queued: facts, faults, and a small real run."""
