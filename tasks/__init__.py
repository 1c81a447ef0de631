"""Retry and visibility: the only place with `@task`. A task body is about ten lines; the work is in `hindcast`."""
