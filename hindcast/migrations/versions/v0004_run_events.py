"""A run's rows are looked for among the block ranges of its chunk ids, no longer in the whole table."""

from pathlib import Path

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_SQL = Path(__file__).parent.parent / "sql"


def upgrade() -> None:
    """Replace the view; its columns and who may read it stay."""
    op.get_bind().connection.driver_connection.execute(  # type: ignore[union-attr]
        (_SQL / "run_events.sql").read_text()
    )


def downgrade() -> None:
    """Not offered: the ledger is the record of what was imported and undone."""
    raise RuntimeError("this revision cannot be undone; restore a backup instead")
