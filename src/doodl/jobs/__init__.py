"""Batch jobs: prompts and seeds, their distribution over processes, and results."""
