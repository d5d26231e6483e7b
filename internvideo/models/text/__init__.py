"""Text towers: BERT, LLaMA and MobileCLIP encoders."""
