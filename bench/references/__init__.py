"""What Almenara is measured against: other ways to write the same endpoint."""
