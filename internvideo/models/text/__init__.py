"""Text towers and decoders: encoders of captions, and what writes them."""
