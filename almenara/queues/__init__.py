"""Queues decide when and where an attempt happens; they carry ids, never the promise."""
