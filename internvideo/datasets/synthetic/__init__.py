"""The generated world: seeded real mp4 files with labels for every task."""
