"""A batch job: what is to be made, which process makes it, and what is kept."""
