"""The tables. An `analytics_events` of the runbook's shape is adopted: its rows copied, itself kept beside."""

from pathlib import Path

from alembic import op
from sqlalchemy import Connection, text

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_SQL = Path(__file__).parent.parent / "sql"


def upgrade() -> None:
    """Create everything; safe on a database that has the runbook's table."""
    connection = op.get_bind()
    kind = connection.execute(
        text("SELECT relkind FROM pg_class WHERE oid = to_regclass('public.analytics_events')")
    ).scalar()
    if kind is not None:
        _run_file(connection, "set_aside.sql")
    for name in ("events.sql", "ledger.sql", "rollups.sql"):
        _run_file(connection, name)
    if kind is not None:
        _run_file(connection, "adopt.sql")


def _run_file(connection: Connection, name: str) -> None:
    # Past SQLAlchemy, whose driver call would read the % of format() as placeholders.
    connection.connection.driver_connection.execute((_SQL / name).read_text())  # type: ignore[union-attr]


def downgrade() -> None:
    """Not offered: the ledger is the record of what was imported."""
    raise RuntimeError("the baseline cannot be undone; restore a backup instead")
