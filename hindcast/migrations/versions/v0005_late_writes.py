"""Whether somebody wrote to a month since it was archived is told by a sequence, no longer by reading the month."""

from pathlib import Path

from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

_SQL = Path(__file__).parent.parent / "sql"


def upgrade() -> None:
    """Add the sequence and the function of the triggers."""
    op.get_bind().connection.driver_connection.execute(  # type: ignore[union-attr]
        (_SQL / "late_writes.sql").read_text()
    )


def downgrade() -> None:
    """Not offered: the ledger is the record of what was imported and undone."""
    raise RuntimeError("this revision cannot be undone; restore a backup instead")
