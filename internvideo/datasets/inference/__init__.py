"""Inputs of inference: files, frames and streams without annotations."""
