"""Files: written whole or not at all, and found inside installed packages."""
