"""Audio encoders, one file per published family."""
