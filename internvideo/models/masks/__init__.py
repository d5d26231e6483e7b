"""Token masks, drawn on the device."""
