"""Data preprocessors: uint8 clips to normalised, mixed batches on the device."""
