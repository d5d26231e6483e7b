"""Running trained models: devices, precision, encoding."""
