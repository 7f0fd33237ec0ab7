"""`python -m doodl.pretrained` prints the table of models."""

from doodl.pretrained.models import models_table

print(models_table())
