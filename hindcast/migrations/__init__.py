"""Schema changes, in order, by Alembic; run explicitly (`hindcast db migrate`), never on the side."""
