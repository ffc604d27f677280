"""How fast a fleet delivers and accepts: Almenara's workers beside the plain way with Celery."""
