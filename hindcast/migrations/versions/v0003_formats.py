"""What the formats beside analytics_history need: their rollups, and what is remembered between runs."""

from pathlib import Path

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_SQL = Path(__file__).parent.parent / "sql"


def upgrade() -> None:
    """Add the tables; nothing that holds rows is rewritten."""
    for name in ("derived.sql", "amplitude.sql", "api_monitoring.sql", "email_engagement.sql", "llm_analytics.sql"):
        # Past SQLAlchemy, whose driver call would read the % of format() as placeholders.
        op.get_bind().connection.driver_connection.execute((_SQL / name).read_text())  # type: ignore[union-attr]


def downgrade() -> None:
    """Not offered: the ledger is the record of what was imported and undone."""
    raise RuntimeError("this revision cannot be undone; restore a backup instead")
