"""The speed of the product beside its references: one table, one command (`make bench`)."""
