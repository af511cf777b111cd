"""What can go wrong with a run, done to it on purpose, and what was lost: ``python -m benchmarks.reliability``."""
